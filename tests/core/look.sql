-- What the tests read of the main path's tables.

-- name: insert_account
-- rows: id int
insert into accounts (id, name, created_at) select id, 'account', 0 from {rows} r where true on conflict do nothing

-- name: messages
select id, status, attempts, due_at, error, carrier_code, segments, lane, account_id from messages order by id

-- name: parts
select message_id, n, carrier_message_id, status, error from parts order by message_id, n

-- name: events
select subject, type, at, id from events order by id

-- name: parked
select carrier_message_id, status from parked_receipts order by carrier_message_id, event_id

-- name: lanes
select id, token, epoch from lanes order by id

-- name: force_status
-- rows: id int, status int
update messages set status = r.status from {rows} r where messages.id = r.id

-- name: drop_messages
-- rows: id int
delete from messages where id in (select id from {rows} r)
