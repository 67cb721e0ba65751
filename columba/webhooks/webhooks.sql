-- name: endpoints
select id, account_id, mode, kind, url, events, description, settings, secret, previous_secret, previous_until, state,
  reason, failing_since, created_at, updated_at
from webhooks order by id

-- name: insert_endpoint
-- rows: id int, account_id int, mode int, kind text, url text, events text, description text, settings text, secret text, at int
insert into webhooks (id, account_id, mode, kind, url, events, description, settings, secret, created_at, updated_at)
select id, account_id, mode, kind, url, events, description, settings, secret, at, at from {rows} r where true
on conflict do nothing
returning id

-- name: find_callback
select id from webhooks where account_id = :account_id and mode = :mode and url = :url and kind = 'callback'

-- name: update_endpoint
-- rows: id int, url text, events text, description text, settings text, secret text, previous_secret text
-- rows: previous_until int, state text, reason text, failing_since int, at int
update webhooks set url = r.url, events = r.events, description = r.description, settings = r.settings,
  secret = r.secret, previous_secret = r.previous_secret, previous_until = r.previous_until, state = r.state,
  reason = r.reason, failing_since = r.failing_since, updated_at = r.at
from {rows} r where webhooks.id = r.id
returning webhooks.id

-- Only by the one who sees it change first.
-- name: mark_endpoint
-- rows: id int, state text, reason text, failing_since int, at int
update webhooks set state = r.state, reason = r.reason, failing_since = r.failing_since, updated_at = r.at
from {rows} r where webhooks.id = r.id
  and (webhooks.state <> r.state or coalesce(webhooks.failing_since, 0) <> coalesce(r.failing_since, 0))
returning webhooks.id

-- name: delete_endpoint
-- rows: id int
delete from webhooks where id in (select id from {rows} r) returning id

-- name: delete_subscriptions
-- rows: id int
delete from subscriptions where endpoint_id in (select id from {rows} r)

-- name: delete_deliveries
-- rows: id int
delete from deliveries where endpoint_id in (select id from {rows} r)

-- name: delete_attempts
-- rows: id int
delete from attempts where endpoint_id in (select id from {rows} r)

-- name: insert_subscriptions
-- rows: endpoint_id int, account_id int, mode int, type int
insert into subscriptions (account_id, mode, type, endpoint_id)
select r.account_id, r.mode, r.type, r.endpoint_id from {rows} r where true
on conflict do nothing

-- name: delivery_backlog
-- rows: lane int
select lane, 1, account_id, due_at from (
  select r.lane, w.account_id, (
    select min(d.due_at) from deliveries d where d.endpoint_id = r.lane and d.status = 0) as due_at
  from {rows} r join webhooks w on w.id = r.lane) found
where due_at is not null

-- name: due_deliveries
select d.event_id, e.type, e.at, e.data, e.account_id, e.mode, e.subject, d.attempts,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from deliveries d join events e on e.id = d.event_id
left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id
where d.endpoint_id = :endpoint_id and d.status = 0 and d.due_at <= :now
order by d.due_at, d.event_id limit :most

-- name: settle_deliveries
-- rows: lane int, event_id int, status int, attempts int, due_at int, at int, answer_status int, latency_ms int
-- rows: error text, answer text
update deliveries set status = r.status, attempts = r.attempts, due_at = r.due_at, updated_at = r.at,
  answer_status = r.answer_status, latency_ms = r.latency_ms, error = r.error, answer = r.answer
from {rows} r where deliveries.endpoint_id = r.lane and deliveries.event_id = r.event_id

-- name: insert_attempts
-- rows: lane int, event_id int, n int, at int, answer_status int, latency_ms int, error text, answer text
insert into attempts (endpoint_id, event_id, n, at, answer_status, latency_ms, error, answer)
select lane, event_id, n, at, answer_status, latency_ms, error, answer from {rows} r where true
on conflict do nothing

-- name: due_again
-- rows: lane int, event_id int, at int
update deliveries set status = 0, due_at = r.at, updated_at = r.at
from {rows} r where deliveries.endpoint_id = r.lane and deliveries.event_id = r.event_id

-- name: recover
-- rows: endpoint_id int, account_id int, mode int, since int, until int, at int
insert into deliveries (endpoint_id, event_id, due_at, updated_at)
select r.endpoint_id, e.id, r.at, r.at
from {rows} r join events e on e.account_id = r.account_id and e.mode = r.mode and e.id >= r.since and e.id < r.until
join subscriptions s on s.endpoint_id = r.endpoint_id and s.account_id = r.account_id and s.mode = r.mode and s.type = e.type
where true
on conflict (endpoint_id, event_id) do update set status = 0, due_at = excluded.due_at, updated_at = excluded.updated_at
  where deliveries.status = 2
returning event_id

-- name: deliveries_of
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  d.answer, e.type
from deliveries d join events e on e.id = d.event_id
where d.endpoint_id = :endpoint_id and d.event_id < :before and (:status < 0 or d.status = :status)
  and (:type = 0 or e.type = :type)
order by d.event_id desc limit :most

-- name: deliveries_of_event
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  d.answer, e.type
from deliveries d join events e on e.id = d.event_id
where d.event_id = :event_id

-- name: attempts_of
select n, at, answer_status, latency_ms, error, answer from attempts
where endpoint_id = :endpoint_id and event_id = :event_id order by n
