-- name: parts
select message_id, n, carrier_message_id, written_id, status from parts order by message_id, n

-- name: parked
select event_id, carrier_message_id from parked_receipts

-- name: texts
select b.text from messages m join bodies b on b.message_id = m.id where m.direction = 1 order by m.id
