-- Routes, earlier tries of messages, second routes, and how carriers do.

-- name: routes
select id, account_id, mode, name, position, enabled, spec, version, created_at, updated_at
from routes order by account_id, mode, position, id

-- name: make_room
-- rows: account_id int, mode int, position int
update routes set position = routes.position + 1
from {rows} r where routes.account_id = r.account_id and routes.mode = r.mode and routes.position >= r.position

-- name: insert_route
-- rows: id int, account_id int, mode int, name text, position int, enabled int, spec text, at int
insert into routes (id, account_id, mode, name, position, enabled, spec, created_at, updated_at)
select id, account_id, mode, name, position, enabled, spec, at, at from {rows} r

-- Only what is still as it was read.
-- name: update_route
-- rows: id int, version int, name text, enabled int, spec text, at int
-- once: id
update routes set name = r.name, enabled = r.enabled, spec = r.spec, version = routes.version + 1, updated_at = r.at
from {rows} r where routes.id = r.id and routes.version = r.version
returning routes.id

-- name: place_routes
-- rows: id int, position int
update routes set position = r.position from {rows} r where routes.id = r.id

-- name: delete_route
-- rows: id int
delete from routes where id in (select id from {rows} r)
returning id

-- What processes see of carriers.
-- name: write_healths
-- rows: carrier_id int, token text, taken float, refused float, delivered float, undelivered float, streak float
-- rows: sessions float, open float, stalled float, at int
insert into carrier_health (carrier_id, token, taken, refused, delivered, undelivered, streak, sessions, open,
  stalled, at)
select carrier_id, token, taken, refused, delivered, undelivered, streak, sessions, open, stalled, at from {rows} r where true
on conflict (carrier_id, token) do update set taken = excluded.taken, refused = excluded.refused,
  delivered = excluded.delivered, undelivered = excluded.undelivered, streak = excluded.streak,
  sessions = excluded.sessions, open = excluded.open, stalled = excluded.stalled, at = excluded.at

-- name: healths
select carrier_id, taken, refused, delivered, undelivered, streak, sessions, open, stalled
from carrier_health
where token <> :token and at >= :since

-- name: sweep_healths
-- rows: before int
delete from carrier_health where at < (select before from {rows} r)

-- The carriers that messages have behind them, oldest first.
-- name: hops
-- rows: id int
select distinct p.message_id, p.hop, p.carrier_id from {rows} r join past_parts p on p.message_id = r.id
order by p.message_id, p.hop

-- What waits on a lane and has surely not left, in the order of its index.
-- name: movable
select m.class, m.account_id, m.due_at, m.id from messages m
where m.lane = :lane and m.status in (10, 20) and m.status = 20
  and (m.class, m.account_id, m.due_at, m.id) > (:klass, :account_id, :due_at, :last_id)
  and not exists (select 1 from parts p where p.message_id = m.id)
order by m.class, m.account_id, m.due_at, m.id limit :most

-- name: insert_seconds
-- rows: message_id int, due_at int
insert into second_routes (message_id, due_at) select message_id, due_at from {rows} r where true
on conflict (message_id) do update set due_at = excluded.due_at

-- Second routes.
-- name: seconds_of
-- rows: id int
select s.message_id, s.due_at from {rows} r join second_routes s on s.message_id = r.id

-- name: due_seconds
select message_id, due_at from second_routes where due_at <= :now order by due_at limit :most

-- name: later_seconds
-- rows: message_id int, due_at int
update second_routes set due_at = r.due_at from {rows} r where second_routes.message_id = r.message_id

-- name: parts_so_far
-- rows: id int
select p.message_id, p.n, p.status, p.carrier_id, p.error, p.carrier_code from {rows} r join parts p on p.message_id = r.id
order by p.message_id, p.n

-- name: cost_so_far
-- rows: id int
select c.message_id, cast(sum(c.price) as bigint) from {rows} r join costs c on c.message_id = r.id group by c.message_id

-- Whoever deletes the row decides.
-- name: take_seconds
-- rows: message_id int
-- once: message_id
delete from second_routes where message_id in (select message_id from {rows} r)
returning message_id

-- name: send_again
-- rows: message_id int, id int, lane int, at int
update messages set status = 20, lane = r.lane, due_at = r.at, attempts = 0, updated_at = r.at
from {rows} r where messages.id = r.id and messages.status = 30
returning messages.id

-- name: archive_parts
-- rows: message_id int, hop int
insert into past_parts (message_id, hop, n, carrier_id, carrier_message_id, written_id, status, error, carrier_code,
  sent_at, done_at)
select p.message_id, r.hop, p.n, p.carrier_id, p.carrier_message_id, p.written_id, p.status, p.error, p.carrier_code,
  p.sent_at, p.done_at
from {rows} r join parts p on p.message_id = r.message_id

-- name: drop_parts
-- rows: message_id int
delete from parts where message_id in (select message_id from {rows} r)

-- name: set_extra
-- rows: message_id int, extra text
update bodies set extra = r.extra from {rows} r where bodies.message_id = r.message_id

-- Receipts of earlier tries: their parts are not among those that receipts are matched to, so they were parked.
-- name: late_receipts
select p.event_id, q.message_id, q.hop, q.n, p.status, p.error, p.carrier_code, p.at
from parked_receipts p join past_parts q
  on q.carrier_message_id = p.carrier_message_id and q.carrier_id = p.carrier_id
where p.event_id > :since order by p.event_id limit :most

-- name: past_of
select hop, n, status from past_parts where message_id = :id

-- name: past_receipts
-- rows: message_id int, hop int, n int, status int, error text, carrier_code text, at int
update past_parts set status = r.status, error = r.error, carrier_code = r.carrier_code, done_at = r.at
from {rows} r
where past_parts.message_id = r.message_id and past_parts.hop = r.hop and past_parts.n = r.n
  and (past_parts.status < 50 or r.status = 50)

-- name: drop_late
-- rows: event_id int
delete from parked_receipts where event_id in (select event_id from {rows} r)
