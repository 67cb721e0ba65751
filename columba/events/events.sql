-- What is read of events. Their order is that of their commits: on SQLite, with its one writer, that of their ids; on
-- PostgreSQL that of their transactions, of which only those are read before which none is open any more: an event that
-- is committed late has its place after all that was read before, never among it.

-- name: now
-- only sqlite
select 0, coalesce(max(id), 0) from events
-- end
-- only postgres
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1, 9223372036854775807
-- end

-- name: place
-- only sqlite
select 0, id from events where id = :id and account_id = :account_id and mode = :mode
-- end
-- only postgres
select tx, id from events where id = :id and account_id = :account_id and mode = :mode
-- end

-- Before the oldest that is kept and newer than one that is not: by id, and a little earlier to miss none.
-- name: place_after
-- only sqlite
select 0, min(id) - 1 from events where account_id = :account_id and mode = :mode and id > :id
-- end
-- only postgres
select min(tx) - 1, 9223372036854775807 from (
  select tx from events where account_id = :account_id and mode = :mode and id > :id order by id limit 1000) first
-- end

-- name: after
select
-- only sqlite
  0 as tx,
-- end
-- only postgres
  e.tx,
-- end
  e.id, e.type, e.at, e.data, e.subject,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from events e left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id
where e.account_id = :account_id and e.mode = :mode
-- only sqlite
  and e.id > :id
order by e.id limit :most
-- end
-- only postgres
  and (e.tx, e.id) > (:tx, :id) and e.tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
order by e.tx, e.id limit :most
-- end

-- name: newest
select e.id, e.type from events e
where e.account_id = :account_id and e.mode = :mode and e.id < :before
order by e.id desc limit :most

-- name: newest_of_message
select e.id, e.type from events e
where e.subject = :subject and e.id < :before
-- only sqlite
  and +e.account_id = :account_id and +e.mode = :mode
-- end
-- only postgres
  and e.account_id = :account_id and e.mode = :mode
-- end
order by e.id desc limit :most

-- Each by its id, however many the account has: SQLite keeps the order of a cross join, and the sums keep PostgreSQL from
-- the account's index.
-- name: shown
-- rows: id int
select e.id, e.type, e.at, e.data, e.subject,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from {rows} r cross join events e
left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id
where e.id = r.id and e.account_id + 0 = :account_id and e.mode + 0 = :mode
order by e.id desc

-- Whether the counter of transactions is behind what events have: the database was restored into another server.
-- name: restarted
-- only sqlite
select 0
-- end
-- only postgres
select count(*) from accounts a cross join (select 0 as mode union all select 1) x
where (select max(e.tx) from events e where e.account_id = a.id and e.mode = x.mode)
  >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
-- end

-- name: put_first
-- rows: after int, most int
-- only sqlite
select 0 from {rows} r where false
-- end
-- only postgres
update events set tx = 0 from (
  select id from events where id > (select after from {rows} r) order by id limit (select most from {rows} r)) x
where events.id = x.id
returning events.id
-- end
