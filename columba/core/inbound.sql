-- Texts from people: each is recorded once, whole or joined from its parts.

-- One that has an id of the carrier's, or was joined from parts, must not have been recorded before.
-- name: insert_inbound
-- rows: gate int, id int, account_id int, mode int, direction int, status int, class int, lane int, to_addr text
-- rows: from_addr text, encoding int, segments int, due_at int, expires_at int, updated_at int, last_event int, batch_id int, callback int
-- rows: carrier_message_id text, fragment int
insert into messages (id, account_id, mode, direction, status, class, lane, to_addr, from_addr, encoding, segments,
  due_at, expires_at, updated_at, last_event, batch_id, callback)
select id, account_id, mode, direction, status, class, lane, to_addr, from_addr, encoding, segments,
  due_at, expires_at, updated_at, last_event, batch_id, callback
from (
  select r.*, row_number() over (partition by r.lane, r.carrier_message_id order by r.id) as nth, p.message_id as known
  from {rows} r
  left join parts p on p.carrier_message_id = r.carrier_message_id and p.carrier_id = r.lane and p.n = 0) r
where r.known is null and (r.nth = 1 or r.carrier_message_id is null)
  and (r.fragment is null or exists (
    select 1 from (select f.id from fragments f where f.id = r.fragment and f.message_id is null {lock f}) waiting))
on conflict (id) do nothing
returning id

-- name: insert_fragments
-- rows: id int, key text, n int, total int, digest text, carrier_id int, account_id int, mode int, sender text
-- rows: to_addr text, body text, due_at int
insert into fragments (id, key, n, total, digest, carrier_id, account_id, mode, sender, to_addr, body, due_at)
select id, key, n, total, digest, carrier_id, account_id, mode, sender, to_addr, body, due_at from {rows} r where true
on conflict (key, n, digest) do nothing

-- The parts of texts that are all there.
-- name: whole_fragments
-- rows: key text
-- gives: key, id, n, total, carrier_id, account_id, mode, sender, to_addr, body
select f.key, f.id, f.n, f.total, f.carrier_id, f.account_id, f.mode, f.sender, f.to_addr, f.body
from (select distinct key from {rows} r) r join fragments f on f.key = r.key
where f.message_id is null
  and (select count(distinct g.n) from fragments g where g.key = f.key and g.message_id is null) = f.total
order by f.key, f.n, f.id

-- name: due_fragments
-- The parts of texts that have waited for long enough.
select f.key, f.id, f.n, f.total, f.carrier_id, f.account_id, f.mode, f.sender, f.to_addr, f.body
from (select key from fragments where message_id is null and due_at <= :now group by key order by min(due_at) limit :most) due
join fragments f on f.key = due.key
where f.message_id is null
order by f.key, f.n, f.id

-- name: join_fragments
-- rows: message_id int, id int
update fragments set message_id = r.message_id, body = ''
from {rows} r where fragments.id = r.id and fragments.message_id is null

-- name: sweep_fragments
-- rows: before int
delete from fragments where message_id is not null and due_at < (select before from {rows} r)

-- name: known_ids
-- rows: carrier_id int, carrier_message_id text
select r.carrier_id, r.carrier_message_id from {rows} r
where exists (
  select 1 from parts p where p.carrier_message_id = r.carrier_message_id and p.carrier_id = r.carrier_id)
