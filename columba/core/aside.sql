-- Messages that go on with another carrier.

-- On to another lane, with a carrier that has not had it: only what has surely not left.
-- name: reroute_messages
-- rows: lane int, id int, new_lane int, due_at int
-- once: id
update messages set lane = r.new_lane, due_at = r.due_at, attempts = 0
from {rows} r
where messages.id = r.id and messages.lane = r.lane and messages.status in (10, 20)
  and not exists (select 1 from parts p where p.message_id = messages.id)
returning messages.id

-- The tries that it has behind it.
-- name: insert_hops
-- rows: message_id int, hop int, n int, carrier_id int, status int, error text, carrier_code text, at int
insert into past_parts (message_id, hop, n, carrier_id, status, error, carrier_code, sent_at, done_at)
select message_id, hop, n, carrier_id, status, error, carrier_code, at, at from {rows} r where true
on conflict (message_id, hop, n) do nothing
