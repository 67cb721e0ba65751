-- name: logins
select key_id, password_hash, settings from smpp_logins order by key_id

-- Another password ends the sessions that were bound with the old one.
-- name: put_login
-- rows: key_id int, password_hash text, settings text, at int
-- once: key_id
insert into smpp_logins (key_id, password_hash, settings, created_at, updated_at)
select key_id, password_hash, settings, at, at from {rows} r where true
on conflict (key_id) do update set password_hash = excluded.password_hash, settings = excluded.settings,
  updated_at = excluded.updated_at
returning key_id

-- Texts from people (60) are handed to every login of their account and mode.
-- name: subscribe_login
-- rows: key_id int, lane int, account_id int, mode int
insert into subscriptions (account_id, mode, type, endpoint_id)
select account_id, mode, 60, lane from {rows} r where true
on conflict do nothing

-- name: unsubscribe_logins
-- rows: lane int
delete from subscriptions where endpoint_id in (select lane from {rows} r)

-- What is to be handed over stands among the deliveries, under the lane of the login.
-- name: handing_backlog
-- rows: lane int
select lane, 1, account_id, due_at from (
  select r.lane, k.account_id, (
    select min(d.due_at) from deliveries d where d.endpoint_id = r.lane and d.status = 0) as due_at
  from {rows} r join keys k on k.id = -r.lane) found
where due_at is not null

-- name: handed_over
-- rows: lane int, event_id int
delete from deliveries where (endpoint_id, event_id) in (select lane, event_id from {rows} r)

-- name: hand_again
-- rows: lane int, event_id int, attempts int, due_at int, at int
update deliveries set attempts = r.attempts, due_at = r.due_at, updated_at = r.at
from {rows} r where deliveries.endpoint_id = r.lane and deliveries.event_id = r.event_id

-- name: last_stale
select max(event_id) from (
  select event_id from deliveries where endpoint_id = :lane and event_id < :before order by event_id limit :most) oldest

-- name: sweep_stale
-- rows: lane int, upto int
delete from deliveries where (endpoint_id, event_id) in (
  select d.endpoint_id, d.event_id from {rows} r
  join deliveries d on d.endpoint_id = r.lane and d.event_id <= r.upto)

-- Parts of long texts. What is there of a message is given once all of it is.

-- name: put_parts
-- rows: message_id int, n int, total int, key_id int, key text, body text, asked text, due_at int
insert into smpp_parts (message_id, n, total, key_id, key, body, asked, due_at)
select message_id, n, total, key_id, key, body, asked, due_at from {rows} r where true
on conflict (message_id, n) do update set body = excluded.body, due_at = excluded.due_at

-- name: whole_parts
-- rows: message_id int
-- gives: message_id, n, total, key_id, body, asked
select p.message_id, p.n, p.total, p.key_id, p.body, p.asked
from (select distinct message_id from {rows} r) r join smpp_parts p on p.message_id = r.message_id
where (select count(*) from smpp_parts q where q.message_id = p.message_id) = p.total
order by p.message_id, p.n

-- name: due_parts
select p.message_id, p.n, p.total, p.key_id, p.body, p.asked
from (select message_id from smpp_parts group by message_id having max(due_at) <= :now limit :most) due
join smpp_parts p on p.message_id = due.message_id
order by p.message_id, p.n

-- name: open_parts
select distinct key, message_id from smpp_parts where due_at > :now order by message_id

-- name: drop_parts
-- rows: message_id int
delete from smpp_parts where message_id in (select message_id from {rows} r)
