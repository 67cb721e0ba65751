/* A program made of the npm package smpp, for the tests of our server.
 *
 *   node esme.js PORT SYSTEM_ID PASSWORD
 *
 * It binds as a transceiver and prints one JSON object a line for whatever happens. Orders come on stdin in the same form,
 * each with what to `do`:
 *   submit    {to, from, text?, parts?: [{text, udh}], count?, coding?, payload?, receipt?}
 *   enquire   {}          ask the server whether it lives
 *   unbind    {}
 *   cut       {}          break the connection
 */
'use strict';

const readline = require('readline');
const smpp = require('smpp');

const [port, system_id, password] = process.argv.slice(2);
const told = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');
const session = smpp.connect({ url: `smpp://127.0.0.1:${port}` });

session.on('connect', () => {
    session.bind_transceiver({ system_id, password }, (pdu) => told('bound', { status: pdu.command_status }));
});
session.on('close', () => told('close', {}));
session.on('error', (error) => told('error', { why: String(error) }));
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('unbind', (pdu) => {
    session.send(pdu.response());
    told('unbind', {});
});
session.on('deliver_sm', (pdu) => {
    const held = pdu.message_payload !== undefined ? pdu.message_payload : pdu.short_message;
    told('delivered', {
        from: pdu.source_addr,
        to: pdu.destination_addr,
        text: held.message,
        esm_class: pdu.esm_class,
        receipted: pdu.receipted_message_id,
        state: pdu.message_state,
    });
    session.send(pdu.response());
});

function submit(order) {
    const many = Array.from({ length: order.count || 0 }, (_, n) => ({ text: `n=${n}` }));
    const pieces = order.parts || (order.count ? many : [{ text: order.text }]);
    for (const piece of pieces) {
        const fields = {
            source_addr: order.from,
            dest_addr_ton: 1,
            dest_addr_npi: 1,
            destination_addr: order.to,
            registered_delivery: order.receipt ? 1 : 0,
        };
        if (order.coding !== undefined) fields.data_coding = order.coding;
        if (piece.udh) fields.esm_class = 0x40;
        const message = piece.udh ? { udh: Buffer.from(piece.udh, 'hex'), message: piece.text } : piece.text;
        fields[order.payload ? 'message_payload' : 'short_message'] = message;
        session.submit_sm(fields, (pdu) => told('submitted', { status: pdu.command_status, id: pdu.message_id }));
    }
}

const orders = {
    submit,
    enquire: () => session.enquire_link((pdu) => told('alive', { status: pdu.command_status })),
    unbind: () => session.unbind((pdu) => told('unbound', { status: pdu.command_status })),
    cut: () => session.destroy(),
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const order = JSON.parse(line);
    orders[order.do](order);
    told('did', {});
});
