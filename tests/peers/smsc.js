/* An SMSC made of the npm package smpp, for the tests of our client.
 *
 *   node smsc.js [--hex]
 *
 * It prints one JSON object a line for whatever happens, the first with the port it listens on. Orders come on stdin in the
 * same form, each with what to `do`:
 *   text       {to, from, parts: [{text, udh?, coding?}]}   deliver_sm for each part
 *   receipts   {style: "text" | "tlv" | "decimal", state?}  for all that was submitted and has none yet
 *   rate       {rate}      at most so many submit_sm a second from now on, the others are throttled; 0 for any number
 *   cut        {}          break all connections
 *   enquire    {}          ask every session whether it lives
 *   unbind     {}          end every session properly
 *   silent     {silent}    don't answer submit_sm
 */
'use strict';

const readline = require('readline');
const smpp = require('smpp');

const told = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');
const hex = process.argv.includes('--hex');
const sessions = new Set();
let count = 0x1a2b3c;
let rate = 0;
let silent = false;
let second = 0;
let inSecond = 0;
let waiting = []; // what was submitted and wants a receipt

function full() {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
        second = now;
        inSecond = 0;
    }
    inSecond += 1;
    return rate > 0 && inSecond > rate;
}

function payload(pdu) {
    const held = pdu.message_payload !== undefined ? pdu.message_payload : pdu.short_message;
    const message = held.message;
    return {
        text: Buffer.isBuffer(message) ? undefined : message,
        octets: Buffer.isBuffer(message) ? message.toString('hex') : undefined,
        udh: (held.udh || []).map((element) => element.toString('hex')),
        payload: pdu.message_payload !== undefined,
    };
}

function submitted(session, pdu) {
    if (silent) return told('ignored', { sequence: pdu.sequence_number });
    if (full()) {
        session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
        return told('throttled', {});
    }
    count += 1;
    const id = hex ? count.toString(16).toUpperCase() : String(count).padStart(10, '0');
    told('submit', {
        id,
        to: pdu.destination_addr,
        from: pdu.source_addr,
        ton: [pdu.source_addr_ton, pdu.dest_addr_ton],
        npi: [pdu.source_addr_npi, pdu.dest_addr_npi],
        coding: pdu.data_coding,
        esm_class: pdu.esm_class,
        sar: pdu.sar_total_segments ? [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum] : null,
        ...payload(pdu),
    });
    if (pdu.registered_delivery & 1) waiting.push({ id, number: count, to: pdu.destination_addr, from: pdu.source_addr });
    return session.send(pdu.response({ message_id: id }));
}

function listen(session) {
    sessions.add(session);
    for (const kind of ['bind_transceiver', 'bind_transmitter', 'bind_receiver']) {
        session.on(kind, (pdu) => {
            const refused = pdu.password === 'wrong';
            session.send(pdu.response({ command_status: refused ? smpp.ESME_RINVPASWD : 0, system_id: 'node' }));
            session.kind = kind;
            told('bind', { kind, system_id: pdu.system_id, refused });
        });
    }
    session.on('submit_sm', (pdu) => submitted(session, pdu));
    session.on('enquire_link', (pdu) => session.send(pdu.response()));
    session.on('unbind', (pdu) => {
        told('unbind', {});
        session.send(pdu.response());
        session.close();
    });
    session.on('error', () => {});
    session.on('close', () => {
        sessions.delete(session);
        told('close', {});
    });
}

function receiver() {
    return [...sessions].reverse().find((session) => session.kind && session.kind !== 'bind_transmitter');
}

function deliver(fields, what) {
    const session = receiver();
    if (!session) return told('nobody', {});
    return session.deliver_sm(fields, (pdu) => told('taken', { what, status: pdu.command_status }));
}

function receipt({ style, state = 'DELIVRD' }, { id, number, to, from }) {
    const fields = { source_addr: to, destination_addr: from, esm_class: 4, data_coding: 0 };
    const states = { DELIVRD: 2, EXPIRED: 3, UNDELIV: 5 };
    if (style === 'tlv') {
        fields.receipted_message_id = id;
        fields.message_state = states[state];
        fields.short_message = '';
    } else {
        const shown = style === 'decimal' ? String(number) : id;
        const days = 'submit date:2602020230 done date:2602020231';
        fields.short_message = `id:${shown} sub:001 dlvrd:001 ${days} stat:${state} err:000 text:`;
    }
    deliver(fields, 'receipt');
}

const orders = {
    text({ to, from, parts }) {
        for (const { text, udh, coding } of parts) {
            const fields = { source_addr: from, source_addr_ton: 1, source_addr_npi: 1, destination_addr: to };
            if (coding !== undefined) fields.data_coding = coding;
            fields.short_message = udh ? { udh: Buffer.from(udh, 'hex'), message: text } : { message: text };
            deliver(fields, 'text');
        }
    },
    receipts(order) {
        const due = waiting;
        waiting = [];
        for (const each of due) receipt(order, each);
    },
    rate(order) {
        rate = order.rate;
    },
    silent(order) {
        silent = order.silent;
    },
    cut() {
        for (const session of sessions) session.destroy();
    },
    enquire() {
        for (const session of sessions) session.enquire_link((pdu) => told('alive', { status: pdu.command_status }));
    },
    unbind() {
        for (const session of sessions) session.unbind(() => told('unbound', {}));
    },
};

const server = smpp.createServer(listen);
server.listen(0, '127.0.0.1', () => told('listening', { port: server.address().port }));
readline
    .createInterface({ input: process.stdin })
    .on('line', (line) => {
        const order = JSON.parse(line);
        orders[order.do](order);
        told('did', {});
    })
    .on('close', () => process.exit(0)); // whoever started it is gone
