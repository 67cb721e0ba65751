-- Statements of the main path. In a step's rows the first column is what `given` and `missing` look at.

-- The first of those that come at once with the same key; in the keys' order, so that processes don't lock each other out.
-- name: claim_idempotency
-- rows: ref int, account_id int, mode int, key text, body_hash text, status int, answer text, created_at int
insert into idempotency (ref, account_id, mode, key, body_hash, status, answer, created_at)
select ref, account_id, mode, key, body_hash, status, answer, created_at
from (select r.*, row_number() over (partition by account_id, mode, key order by ref) as nth from {rows} r) r
where nth = 1 order by account_id, mode, key
on conflict (account_id, mode, key) do update set ref = excluded.ref, body_hash = excluded.body_hash,
  status = excluded.status, answer = excluded.answer, created_at = excluded.created_at
  where idempotency.created_at < excluded.created_at - 86400000
returning ref

-- name: insert_messages
-- rows: gate int, id int, account_id int, mode int, direction int, status int, class int, lane int, to_addr text
-- rows: from_addr text, encoding int, segments int, due_at int, expires_at int, updated_at int, last_event int, batch_id int, callback int
insert into messages (id, account_id, mode, direction, status, class, lane, to_addr, from_addr, encoding, segments,
  due_at, expires_at, updated_at, last_event, batch_id, callback)
select id, account_id, mode, direction, status, class, lane, to_addr, from_addr, encoding, segments,
  due_at, expires_at, updated_at, last_event, batch_id, callback from {rows} r where true
on conflict (id) do nothing
returning id

-- name: insert_bodies
-- rows: message_id int, text text, extra text
insert into bodies (message_id, text, extra) select message_id, text, extra from {rows} r

-- name: insert_tags
-- rows: message_id int, account_id int, mode int, tag text
insert into tags (message_id, account_id, mode, tag) select message_id, account_id, mode, tag from {rows} r where true
on conflict do nothing

-- name: insert_events
-- rows: subject int, id int, account_id int, mode int, type int, at int, data text, callback int
insert into events (subject, id, account_id, mode, type, at, data)
select subject, id, account_id, mode, type, at, data from {rows} r

-- Events and their deliveries: what subscriptions there are decides, in the same transaction. A callback below 0 is an
-- SMPP login, which is told outcomes alone. They are three steps where a statement can't write two tables; PostgreSQL,
-- where each is a journey, does all in the middle one.
-- name: events
-- rows: subject int, id int, account_id int, mode int, type int, at int, data text, callback int
-- only sqlite
insert into events (subject, id, account_id, mode, type, at, data)
select subject, id, account_id, mode, type, at, data from {rows} r
-- end

-- name: their_deliveries
-- rows: subject int, id int, account_id int, mode int, type int, at int, data text, callback int
-- gives: event_id, endpoint_id, at
-- only sqlite
select r.id as event_id, s.endpoint_id, r.at from {rows} r
join subscriptions s on s.account_id = r.account_id and s.mode = r.mode and s.type = r.type
union all
select r.id, r.callback, r.at from {rows} r where r.callback > 0 or (r.callback < 0 and r.type >= 40)
-- end
-- only postgres
with r as materialized (select * from {rows} x), made as (
  insert into events (subject, id, account_id, mode, type, at, data)
  select subject, id, account_id, mode, type, at, data from r)
insert into deliveries (endpoint_id, event_id, due_at, updated_at)
select s.endpoint_id, r.id, r.at, r.at from r
join subscriptions s on s.account_id = r.account_id and s.mode = r.mode and s.type = r.type
union all
select r.callback, r.id, r.at, r.at from r where r.callback > 0 or (r.callback < 0 and r.type >= 40)
on conflict (endpoint_id, event_id) do nothing
returning event_id, endpoint_id, due_at
-- end

-- name: keep_deliveries
-- rows: event_id int, endpoint_id int, at int
-- only sqlite
insert into deliveries (endpoint_id, event_id, due_at, updated_at)
select endpoint_id, event_id, at, at from {rows} r where true
on conflict (endpoint_id, event_id) do nothing
-- end

-- What a delivery shows, for events that were made in the store.
-- name: delivered_events
-- rows: event_id int, endpoint_id int
-- gives: event_id, type, at, data, id, account_id, mode, direction, class, lane, to_addr, from_addr, text, encoding
-- gives: segments, status, due_at, expires_at, updated_at, attempts, batch_id, error, carrier_code, extra
select r.event_id, e.type, e.at, e.data,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from (select distinct event_id from {rows} r) r join events e on e.id = r.event_id
join messages m on m.id = e.subject join bodies b on b.message_id = m.id

-- name: newest_id
select max(id) from (select max(id) as id from events union all select max(id) from messages) newest

-- name: messages_by_id
-- rows: id int
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding,
  m.segments, m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra, m.callback
from {rows} r join messages m on m.id = r.id join bodies b on b.message_id = m.id

-- Settling what a lane did. A lane that was lost returns nothing, and nothing of it is settled.
-- name: fence
-- rows: lane int, epoch int, token text
-- gives: id
select lanes.id from lanes where exists (
  select 1 from {rows} r where r.lane = lanes.id and r.epoch = lanes.epoch and r.token = lanes.token)
{share}

-- name: insert_parts
-- rows: lane int, message_id int, n int, carrier_id int, carrier_message_id text, status int, error text, carrier_code text, sent_at int
-- rows: written_id text
insert into parts (message_id, n, carrier_id, carrier_message_id, status, error, carrier_code, sent_at, written_id)
select message_id, n, carrier_id, carrier_message_id, status, error, carrier_code, sent_at, written_id
from {rows} r where true
on conflict (message_id, n) do update set carrier_id = excluded.carrier_id,
  carrier_message_id = excluded.carrier_message_id, status = excluded.status, error = excluded.error,
  carrier_code = excluded.carrier_code, sent_at = excluded.sent_at, written_id = excluded.written_id
  where parts.status / 10 < excluded.status / 10

-- name: settle_messages
-- rows: lane int, id int, status int, attempts int, due_at int, at int, event_id int, error text, carrier_code text
update messages set status = r.status, attempts = r.attempts, due_at = r.due_at, updated_at = r.at,
  last_event = r.event_id, error = r.error, carrier_code = r.carrier_code
from {rows} r
where messages.id = r.id and messages.status / 10 < r.status / 10
returning messages.id

-- By request or by the clock: only what has not left. Canceled (54) means that nobody gets any part of it.
-- name: end_messages
-- rows: lane int, id int, status int, attempts int, due_at int, at int, event_id int, error text, carrier_code text
-- once: id
update messages set status = r.status, updated_at = r.at, last_event = r.event_id, error = r.error
from {rows} r
where messages.id = r.id and messages.status in (10, 20)
  and (r.status <> 54 or not exists (select 1 from parts p where p.message_id = r.id))
returning messages.id

-- Another try later, never sooner: the status stays.
-- name: postpone_messages
-- rows: lane int, id int, attempts int, due_at int
update messages set attempts = r.attempts,
  due_at = case when messages.due_at > r.due_at then messages.due_at else r.due_at end
from {rows} r where messages.id = r.id and messages.status in (10, 20)

-- An account's texts to the same person wait behind the one that is to be tried again, but not beyond their validity.
-- name: hold_back
-- rows: lane int, id int, to_addr text, class int, account_id int, due_at int
update messages set
  due_at = case when messages.expires_at > 0 and messages.expires_at <= r.due_at then messages.expires_at
    else r.due_at + 1 end
from (select lane, to_addr, class, account_id, min(id) as id, max(due_at) as due_at from {rows} r
  group by lane, to_addr, class, account_id) r
where messages.to_addr = r.to_addr and messages.id > r.id and messages.class = r.class and messages.lane = r.lane
  and messages.account_id = r.account_id and messages.status = 20 and messages.due_at <= r.due_at

-- Receipts that came before the id did. They get the id of an event of now: events are read in the order of their ids.
-- name: find_parked
-- rows: lane int, event_id int, carrier_id int, carrier_message_id text
-- gives: event_id, carrier_id, carrier_message_id, status, error, carrier_code, at
select r.event_id, p.carrier_id, p.carrier_message_id, p.status, p.error, p.carrier_code, p.at
from {rows} r
join parked_receipts p on p.carrier_message_id = r.carrier_message_id and p.carrier_id = r.carrier_id

-- name: drop_parked
-- rows: event_id int, carrier_id int, carrier_message_id text, status int, error text, carrier_code text, at int
delete from parked_receipts where event_id in (
  select p.event_id from {rows} r
  join parked_receipts p on p.carrier_message_id = r.carrier_message_id and p.carrier_id = r.carrier_id)

-- Receipts. `match` tells which part each is about, the newest where a carrier uses its ids again; what matches nothing
-- is parked. Messages are locked before their parts change: two processes may each have the receipt of one part.
-- name: match_receipts
-- rows: event_id int, carrier_id int, carrier_message_id text, status int, error text, carrier_code text, at int
-- gives: event_id, message_id, n, status, error, carrier_code, at
select r.event_id, p.message_id, p.n, r.status, r.error, r.carrier_code, r.at
from {rows} r join parts p on p.carrier_message_id = r.carrier_message_id and p.carrier_id = r.carrier_id
-- only postgres
join messages m on m.id = p.message_id
-- end
where not exists (
  select 1 from parts q
  where q.carrier_message_id = p.carrier_message_id and q.carrier_id = p.carrier_id and q.message_id > p.message_id)
-- only postgres
order by m.id for update of m
-- end

-- name: park_receipts
-- rows: event_id int, carrier_id int, carrier_message_id text, status int, error text, carrier_code text, at int
insert into parked_receipts (event_id, carrier_id, carrier_message_id, status, error, carrier_code, at)
select event_id, carrier_id, carrier_message_id, status, error, carrier_code, at from {rows} r

-- Those whose part is known after all: another process wrote it down at the same moment.
-- name: parked_known
select p.carrier_id, p.carrier_message_id from parked_receipts p
where p.event_id > :since and exists (
  select 1 from parts q where q.carrier_message_id = p.carrier_message_id and q.carrier_id = p.carrier_id)
order by p.event_id limit :most

-- name: sweep_parked
-- rows: before int, most int
delete from parked_receipts where (event_id, carrier_message_id) in (
  select p.event_id, p.carrier_message_id from parked_receipts p where p.event_id < (select min(before) from {rows} r)
  order by p.event_id limit (select min(most) from {rows} r))
returning event_id

-- name: receipt_parts
-- rows: event_id int, message_id int, n int, status int, error text, carrier_code text, at int
update parts set status = r.status, error = r.error, carrier_code = r.carrier_code, done_at = r.at
from (select message_id, n, max(status) as status, max(error) as error, max(carrier_code) as carrier_code, max(at) as at
  from {rows} r group by message_id, n) r
where parts.message_id = r.message_id and parts.n = r.n and parts.status / 10 < r.status / 10

-- The message follows its parts: delivered when all are, failed as soon as one is, unless it may have a second route.
-- What it becomes, if it moves.
-- name: receipt_outcomes
-- rows: event_id int, message_id int, n int, status int, error text, carrier_code text, at int
-- gives: id, event_id, account_id, mode, status, at, data, callback, error, carrier_code
select y.id, y.event_id, y.account_id, y.mode, y.status, y.at, null as data, y.callback, y.error, y.carrier_code
from (
  select m.id, x.event_id, m.account_id, m.mode, x.at, m.callback, m.status as was,
    case when m.segments = 1 then x.worst else (
      select case when max(p.status) > 50 then max(p.status)
        when min(p.status) = 50 and count(*) = m.segments then 50 else 0 end
      from parts p where p.message_id = m.id) end as status,
    x.error, x.carrier_code
  from (
    select r.message_id, max(r.event_id) as event_id, max(r.at) as at, max(r.status) as worst, max(r.error) as error,
      max(r.carrier_code) as carrier_code
    from {rows} r group by r.message_id) x
  join messages m on m.id = x.message_id) y
where y.was / 10 < y.status / 10
  and not (y.status > 50 and exists (select 1 from second_routes s where s.message_id = y.id))

-- name: receipt_messages
-- rows: id int, event_id int, account_id int, mode int, status int, at int, data text, callback int, error text
-- rows: carrier_code text
update messages set status = r.status, error = r.error, carrier_code = r.carrier_code, updated_at = r.at,
  last_event = r.event_id
from {rows} r where messages.id = r.id
