-- A person's messages: those sent to the number, and those that came from it. The sums keep the planner from the index of
-- the whole account.
-- name: messages_to
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra, m.callback
from messages m join bodies b on b.message_id = m.id
where m.to_addr = :number and m.id > :after and m.direction = 0
  and m.account_id + 0 = :account_id and m.mode + 0 = :mode
order by m.id limit :most

-- name: messages_from
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra, m.callback
from messages m join bodies b on b.message_id = m.id
where m.from_addr = :number and m.from_addr <> '' and m.id > :after and m.direction = 1
  and m.account_id + 0 = :account_id and m.mode + 0 = :mode
order by m.id limit :most

-- name: parts_of
-- rows: id int
select p.message_id, case when p.n = 0 then 1 else p.n end, p.carrier_id, coalesce(p.written_id, p.carrier_message_id) as carrier_message_id, p.status,
  p.error, p.sent_at, p.done_at
from {rows} r join parts p on p.message_id = r.id order by p.message_id, p.n

-- name: events_of
-- rows: id int
select e.subject, e.id, e.type, e.at from {rows} r join events e on e.subject = r.id order by e.id

-- name: deliveries_of
-- rows: id int
select d.event_id, d.endpoint_id, d.status, d.updated_at, d.answer_status
from {rows} r join deliveries d on d.event_id = r.id order by d.event_id

-- Only what has left: what may be on its way to the wire at this moment has to be waited for.
-- name: erase_messages
-- rows: id int
delete from messages where id in (select id from {rows} r) and status >= 30
returning id

-- name: erase_bodies
-- rows: id int
delete from bodies where message_id in (select id from {rows} r)

-- name: erase_tags
-- rows: id int, account_id int, mode int, tag text
delete from tags where (account_id, mode, tag, message_id) in (select account_id, mode, tag, id from {rows} r)

-- name: erase_parts
-- rows: id int
delete from parts where message_id in (select id from {rows} r)

-- name: erase_past_parts
-- rows: id int
delete from past_parts where message_id in (select id from {rows} r)

-- name: erase_fragments
-- rows: sender text, account_id int, mode int
delete from fragments where (sender, account_id, mode) in (select sender, account_id, mode from {rows} r)
  or (to_addr, account_id, mode) in (select sender, account_id, mode from {rows} r)

-- name: erase_submitted_parts
-- rows: account_id int, mode int, pattern text
delete from smpp_parts where exists (
  select 1 from {rows} r join keys k on k.account_id = r.account_id and k.mode = r.mode
  where k.id = smpp_parts.key_id and smpp_parts.asked like r.pattern)

-- Receipts that fit nothing yet: some providers repeat the number in what they say of an error.
-- name: erase_parked_codes
-- rows: account_id int, mode int, pattern text
update parked_receipts set carrier_code = null from {rows} r
where parked_receipts.carrier_code like r.pattern and parked_receipts.carrier_id in (
  select c.id from carriers c where c.account_id = r.account_id and c.mode = r.mode)

-- name: events_to_erase
-- rows: id int
-- gives: id
select e.id from {rows} r join events e on e.subject = r.id

-- name: erase_attempts
-- rows: id int
delete from attempts where (endpoint_id, event_id) in (
  select d.endpoint_id, d.event_id from {rows} r join deliveries d on d.event_id = r.id)

-- name: erase_deliveries
-- rows: id int
delete from deliveries where event_id in (select id from {rows} r)

-- name: erase_events
-- rows: id int
delete from events where id in (select id from {rows} r)
returning id

-- Events that name the number, among the next of an account.
-- name: events_until
select max(e.id) as upto, count(*) as n from (
  select id from events where account_id = :account_id and mode = :mode and id > :after order by id limit :most) e

-- name: events_naming
select id from events
where account_id = :account_id and mode = :mode and id > :after and id <= :upto and data like :pattern
order by id

-- The answers that would be given again, by when their messages were accepted. Those of batches keep their other rows.
-- name: blank_answers
-- rows: id int, account_id int, mode int, since int, until int, answer text
update idempotency set answer = r.answer from {rows} r
where idempotency.created_at between r.since and r.until and idempotency.ref = r.id
  and idempotency.account_id = r.account_id and idempotency.mode = r.mode

-- name: blank_in_answers
-- rows: id int, account_id int, mode int, since int, until int, number text
update idempotency set answer = replace(idempotency.answer, r.number, 'null') from {rows} r
where idempotency.created_at between r.since and r.until and idempotency.ref = r.id
  and idempotency.account_id = r.account_id and idempotency.mode = r.mode and idempotency.answer not like 'v1.%'

-- Jobs.
-- name: insert_job
-- rows: id int, account_id int, mode int, kind text, hash text, sealed text, state text, counts text, created_by int, at int, done_at int
insert into privacy_jobs (id, account_id, mode, kind, hash, sealed, state, counts, created_by, created_at, updated_at, done_at,
  token, held_until)
select id, account_id, mode, kind, hash, sealed, state, counts, created_by, at, at, done_at, '', 0 from {rows} r

-- name: jobs
select id, kind, hash, sealed, state, counts, created_by, created_at, updated_at, done_at from privacy_jobs
where account_id = :account_id and mode = :mode and id < :before and (hash = :hash or :hash = '')
order by id desc limit :most

-- name: job
select id, kind, hash, sealed, state, counts, created_by, created_at, updated_at, done_at from privacy_jobs
where account_id = :account_id and mode = :mode and id = :id

-- name: open_jobs
select id, account_id, mode, kind, sealed, counts, created_by from privacy_jobs
where state = 'running' and held_until < :now order by held_until limit :most

-- name: hold_job
-- rows: id int, token text, now int, until int
update privacy_jobs set token = r.token, held_until = r.until from {rows} r
where privacy_jobs.id = r.id and privacy_jobs.state = 'running'
  and (privacy_jobs.held_until < r.now or privacy_jobs.token = r.token)
returning privacy_jobs.id

-- name: note_job
-- rows: id int, token text, state text, counts text, at int, done_at int, until int
update privacy_jobs set state = r.state, counts = r.counts, updated_at = r.at, done_at = r.done_at, held_until = r.until,
  sealed = case when r.state = 'done' then null else privacy_jobs.sealed end
from {rows} r where privacy_jobs.id = r.id and privacy_jobs.token = r.token
returning privacy_jobs.id

-- Exports of somebody who is erased know no more whom they were of.
-- name: forget_exports_of
-- rows: hash text, account_id int, mode int
update privacy_jobs set sealed = null from {rows} r
where privacy_jobs.kind = 'export' and privacy_jobs.hash = r.hash and privacy_jobs.account_id = r.account_id
  and privacy_jobs.mode = r.mode

-- name: forget_exports
-- rows: before int
update privacy_jobs set sealed = null from {rows} r
where privacy_jobs.kind = 'export' and privacy_jobs.sealed is not null and privacy_jobs.created_at < r.before

-- What other rooms hang on messages.
-- name: erase_run_attempts
-- rows: message_id int
delete from run_attempts where run_id in (select t.id from {rows} r join runs t on t.message_id = r.message_id)

-- name: erase_runs
-- rows: message_id int
delete from runs where message_id in (select message_id from {rows} r)

-- name: erase_second_routes
-- rows: message_id int
delete from second_routes where message_id in (select message_id from {rows} r)

-- What was said of consent: the words go, where the person stands stays under the keyed hash.
-- name: consents_of
select id, sender, class, purpose, action, source, at, words, language, proof, message_id from consents
where account_id = :account_id and mode = :mode and hash = :hash and id > :after order by id limit :most

-- name: erase_consents
-- rows: account_id int, mode int, hash int, number text
update consents set number = '', words = null, proof = null from {rows} r
where consents.account_id = r.account_id and consents.mode = r.mode and consents.hash = r.hash and consents.number <> ''
returning consents.id

-- name: erase_opt_in_requests
-- rows: account_id int, mode int, hash int, number text
delete from opt_in_requests where (account_id, mode, hash) in (select account_id, mode, hash from {rows} r)

-- name: erase_consent_replies
-- rows: account_id int, mode int, hash int, number text
delete from consent_replies where (account_id, mode, hash) in (select account_id, mode, hash from {rows} r)

-- As they were written: "0171 234 5678" was refused because nobody knew its country.
-- name: erase_import_refusals
-- rows: account_id int, mode int, number text, national text
delete from import_refusals where (import_id, n) in (
  select f.import_id, f.n from {rows} r
  join imports i on i.account_id = r.account_id and i.mode = r.mode
  join import_refusals f on f.import_id = i.id and (f.number = r.number or
    replace(replace(replace(replace(replace(replace(f.number, ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', '')
      like '%' || r.national))

-- name: still_stopping
select count(*) as n from stopping where account_id = :account_id and mode = :mode and hash = :hash

-- Retention.
-- name: swept
select class, what, upto from privacy_swept where account_id = :account_id and mode = :mode

-- name: aged
select m.id, m.direction, m.status, m.to_addr, m.from_addr, b.extra from messages m join bodies b on b.message_id = m.id
where m.account_id = :account_id and m.mode = :mode and m.id > :after and m.id < :before and m.class = :class
order by m.id limit :most

-- name: aged_left
select m.id, m.direction, m.status, m.to_addr, m.from_addr, b.extra
from privacy_left l join messages m on m.id = l.message_id join bodies b on b.message_id = m.id
where l.account_id = :account_id and l.mode = :mode and l.class = :class and l.what = :what and m.status >= 30
order by m.id limit :most

-- Those of some with which nothing is to be done any more: they have ended, nothing that they set in motion is still under
-- way (what was not touched for long waits for something that is switched off), and what they cost is settled.
-- name: over_messages
-- rows: id int, live_since int
select m.id from {rows} r join messages m on m.id = r.id
where m.status >= 40
  and not exists (
    select 1 from runs u where u.message_id = m.id and u.status in (0, 3)
      and (u.updated_at >= r.live_since or u.due_at >= r.live_since))
  and not exists (
    select 1 from events e join deliveries d on d.event_id = e.id
    where e.subject = m.id and d.status = 0 and (d.updated_at >= r.live_since or d.due_at >= r.live_since))
  and not exists (select 1 from debits b where b.message_id = m.id)

-- What was left, from one on: it is looked at in turn.
-- name: left_after
select m.id, m.direction, m.status, m.to_addr, m.from_addr, b.extra
from privacy_left l join messages m on m.id = l.message_id join bodies b on b.message_id = m.id
where l.account_id = :account_id and l.mode = :mode and l.class = :class and l.what = :what and l.message_id > :after
order by l.message_id limit :most

-- name: sweep_costs
-- rows: id int
delete from costs where message_id in (select id from {rows} r)

-- Left of messages that are gone.
-- name: forget_left
-- rows: account_id int, mode int, class int, what text
delete from privacy_left where (account_id, mode, class, what, message_id) in (
  select l.account_id, l.mode, l.class, l.what, l.message_id from {rows} r
  join privacy_left l on l.account_id = r.account_id and l.mode = r.mode and l.class = r.class and l.what = r.what
  where not exists (select 1 from messages m where m.id = l.message_id) limit 500)

-- name: set_swept
-- rows: account_id int, mode int, class int, what text, upto int
insert into privacy_swept (account_id, mode, class, what, upto) select account_id, mode, class, what, upto from {rows} r
where true
on conflict (account_id, mode, class, what) do update set upto = excluded.upto where privacy_swept.upto < excluded.upto

-- name: leave
-- rows: account_id int, mode int, class int, what text, message_id int
insert into privacy_left (account_id, mode, class, what, message_id)
select account_id, mode, class, what, message_id from {rows} r where true on conflict do nothing

-- name: unleave
-- rows: account_id int, mode int, class int, what text, message_id int
delete from privacy_left where (account_id, mode, class, what, message_id) in (
  select account_id, mode, class, what, message_id from {rows} r)

-- name: age_verifications
-- rows: account_id int, mode int, before int
delete from verifications where id in (
  select v.id from {rows} r join verifications v on v.account_id = r.account_id and v.mode = r.mode
  where v.id < r.before and v.status > 1 order by v.id limit 500)
returning id

-- name: age_bodies
-- rows: id int, extra text
update bodies set text = null, extra = r.extra from {rows} r where bodies.message_id = r.id

-- name: age_extra
-- rows: id int, extra text
update bodies set extra = r.extra from {rows} r where bodies.message_id = r.id

-- name: age_numbers
-- rows: id int, to_addr text, from_addr text
update messages set to_addr = r.to_addr, from_addr = r.from_addr from {rows} r where messages.id = r.id
