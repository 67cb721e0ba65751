-- What the endpoints of messages read and change.

-- name: message
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding,
  m.segments, m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra,
  m.callback
from messages m join bodies b on b.message_id = m.id
where m.id = :id and m.account_id = :account_id and m.mode = :mode

-- name: parts
select q.hop, q.n, q.carrier_id, coalesce(q.written_id, q.carrier_message_id) as carrier_message_id, q.status, q.error,
  q.carrier_code, q.sent_at, q.done_at, c.price, c.currency
from past_parts q left join costs c on c.message_id = q.message_id and c.carrier_id = q.carrier_id and c.n = q.n
where q.message_id = :id
union all
select (select count(distinct h.hop) from past_parts h where h.message_id = :id),
  case when q.n = 0 then 1 else q.n end, q.carrier_id,
  coalesce(q.written_id, q.carrier_message_id), q.status, q.error, q.carrier_code, q.sent_at, q.done_at, c.price, c.currency
from parts q left join costs c on c.message_id = q.message_id and c.carrier_id = q.carrier_id and c.n = q.n
where q.message_id = :id
order by 1, 2

-- name: timeline
select id, type, at, data from events where subject = :id order by id limit 200

-- The newest ids, by whichever index narrows most. SQLite, which keeps no statistics here, is told by a plus which not to
-- use.
-- name: newest
select id from messages m
where m.account_id = :account_id and m.mode = :mode and m.id >= :after and m.id < :before
order by m.id desc limit :most

-- name: newest_of_batch
select id from messages m
where m.batch_id = :value and m.id >= :after and m.id < :before
-- only sqlite
  and +m.account_id = :account_id and +m.mode = :mode
-- end
-- only postgres
  and m.account_id = :account_id and m.mode = :mode
-- end
order by m.id desc limit :most

-- name: newest_tagged
select message_id from tags t
where t.account_id = :account_id and t.mode = :mode and t.tag = :value
  and t.message_id >= :after and t.message_id < :before
order by t.message_id desc limit :most

-- name: newest_to
select id from messages m
where m.to_addr = :value and m.id >= :after and m.id < :before
-- only sqlite
  and +m.account_id = :account_id and +m.mode = :mode
-- end
-- only postgres
  and m.account_id = :account_id and m.mode = :mode
-- end
order by m.id desc limit :most

-- name: newest_from
select id from messages m
where m.from_addr = :value and m.from_addr <> '' and m.id >= :after and m.id < :before
-- only sqlite
  and +m.account_id = :account_id and +m.mode = :mode
-- end
-- only postgres
  and m.account_id = :account_id and m.mode = :mode
-- end
order by m.id desc limit :most

-- Statuses that few messages are in for long: the others are met soon among the newest.
-- name: newest_in_trouble
select id from messages m
where m.account_id = :account_id and m.mode = :mode and m.status = :value and m.status in (10, 40, 51, 52, 53, 54)
  and m.id >= :after and m.id < :before
order by m.id desc limit :most

-- Of these ids, the messages that are wanted. Each by its id, however many the account has: SQLite keeps the order of a
-- cross join, and the sums keep PostgreSQL from the account's index.
-- name: sift
-- rows: id int
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding,
  m.segments, m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from {rows} r cross join messages m cross join bodies b
where m.id = r.id and b.message_id = m.id and m.account_id + 0 = :account_id and m.mode + 0 = :mode
  and (m.status = :status or :status = 0)
  and (m.direction = :direction or :direction < 0)
  and (m.to_addr = :to_addr or :to_addr = '')
  and (m.from_addr = :from_addr or :from_addr = '')
  and (m.batch_id = :batch_id or :batch_id = 0)
  and (:tag = '' or exists (
    select 1 from tags t where t.account_id = :account_id and t.mode = :mode and t.tag = :tag and t.message_id = m.id))
order by m.id desc limit :most

-- Canceled while scheduled: nobody has it in memory, and its release is conditional like this.
-- name: cancel_scheduled
-- rows: id int, status int, at int, event_id int
-- once: id
update messages set status = r.status, updated_at = r.at, last_event = r.event_id
from {rows} r where messages.id = r.id and messages.status = 10
returning messages.id

-- name: redact
-- rows: id int, extra text
update bodies set text = null, extra = r.extra from {rows} r where bodies.message_id = r.id

-- The answer that repeats the request must not repeat the text. Found by its age, which is the message's.
-- name: redact_answers
-- rows: id int, account_id int, mode int, since int, until int
-- only sqlite
update idempotency set
  answer = json_set(idempotency.answer, '$.text', null, '$.media', json('[]'), '$.redacted', json('true'))
-- end
-- only postgres
update idempotency set
  answer = idempotency.answer::jsonb || jsonb_build_object('text', null, 'media', '[]'::jsonb, 'redacted', true)
-- end
from {rows} r
where idempotency.created_at between r.since and r.until and idempotency.ref = r.id
  and idempotency.account_id = r.account_id and idempotency.mode = r.mode
