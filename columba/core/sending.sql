-- name: due_messages
-- rows: held int
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding,
  m.segments, m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra,
  m.callback
from messages m join bodies b on b.message_id = m.id
where m.lane = :lane and m.class = :klass and m.account_id = :account_id and m.status in (10, 20) and m.due_at <= :now
  and m.id not in (select r.held from {rows} r)
order by m.due_at, m.id limit :most

-- name: parts_of
-- rows: id int
select p.message_id, p.n, p.status from {rows} r join parts p on p.message_id = r.id

-- Scheduled messages whose time has come.
-- name: release
-- rows: id int, at int, event_id int
-- once: id
update messages set status = 20, updated_at = r.at, last_event = r.event_id
from {rows} r where messages.id = r.id and messages.status = 10
returning messages.id

-- For each lane, class and account: when the earliest job is due, and the earliest of those to come. One step down the
-- index each.
-- name: message_backlog
-- rows: lane int
select * from (
  select r.lane, c.class, a.id, (
    select min(m.due_at) from messages m
    where m.lane = r.lane and m.class = c.class and m.account_id = a.id and m.status in (10, 20)
      and m.due_at > after.at) as due_at
  from {rows} r
  cross join (select 0 as class union all select 1 union all select 2) c
  cross join (select cast(0 as bigint) as at union all select cast(:now as bigint)) after
  cross join accounts a) found
where due_at is not null

-- name: expired_messages
select m.id from messages m
where m.lane = :lane and m.status in (10, 20) and m.expires_at <= :now and m.expires_at > 0 limit :most

-- A retry of what was marked before it went to the wire.
-- name: unmark_parts
-- rows: lane int, message_id int
delete from parts where message_id in (select message_id from {rows} r) and status = 20

-- A carrier wants other parts than were counted.
-- name: recut_messages
-- rows: lane int, id int, encoding int, segments int
update messages set encoding = r.encoding, segments = r.segments from {rows} r where messages.id = r.id

-- What a carrier has taken and has not told the end of.
-- name: unresolved_parts
select p.message_id, p.n, p.carrier_message_id, m.to_addr, p.sent_at from parts p join messages m on m.id = p.message_id
where m.lane = :lane and m.status = 30 and p.status = 30 and p.message_id > :since order by p.message_id, p.n limit :most

-- Sent long ago, and never a receipt.
-- name: unresolved_messages
select id from messages where id > :after and id < :before and status = 30 order by id limit 2000
