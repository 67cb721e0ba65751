-- Endpoints

-- name: endpoints
select id, account_id, mode, kind, url, events, description, settings, secret, previous_secret, previous_until, state,
  reason, created_at, updated_at, reported
from webhooks where state <> 'deleted' order by id

-- How endpoints are doing: what changes too often for the snapshot.
-- name: health
-- rows: id int
select w.id, w.failing_since, w.failures, w.reported from {rows} r join webhooks w on w.id = r.id

-- name: insert_endpoint
-- rows: id int, account_id int, mode int, kind text, url text, events text, description text, settings text, secret text, at int
insert into webhooks (id, account_id, mode, kind, url, events, description, settings, secret, created_at, updated_at)
select id, account_id, mode, kind, url, events, description, settings, secret, at, at from {rows} r where true
on conflict do nothing
returning id

-- Only as it was read: `was` is its updated_at then. One that is enabled again begins with a clean sheet.
-- name: update_endpoint
-- rows: id int, was int, url text, events text, description text, settings text, secret text, previous_secret text
-- rows: previous_until int, state text, reason text, healed int, at int
-- once: id
update webhooks set url = r.url, events = r.events, description = r.description, settings = r.settings,
  secret = r.secret, previous_secret = r.previous_secret, previous_until = r.previous_until, state = r.state,
  reason = r.reason, updated_at = r.at,
  failing_since = case when r.healed = 1 then null else webhooks.failing_since end,
  failures = case when r.healed = 1 then 0 else webhooks.failures end,
  reported = case when r.healed = 1 then 0 else webhooks.reported end
from {rows} r where webhooks.id = r.id and webhooks.updated_at = r.was and webhooks.state <> 'deleted'
returning webhooks.id

-- It and what belongs to it go in small steps afterwards.
-- name: hide_endpoint
-- rows: id int
update webhooks set state = 'deleted' from {rows} r where webhooks.id = r.id

-- name: hidden_endpoints
select id from webhooks where state = 'deleted'

-- name: next_rubbish
select max(event_id) from (
  select event_id from deliveries where endpoint_id = :endpoint_id order by event_id limit :most) oldest

-- name: sweep_deliveries
-- rows: endpoint_id int, upto int
delete from deliveries where (endpoint_id, event_id) in (
  select d.endpoint_id, d.event_id from {rows} r
  join deliveries d on d.endpoint_id = r.endpoint_id and d.event_id <= r.upto)

-- name: sweep_attempts
-- rows: endpoint_id int, upto int
delete from attempts where (endpoint_id, event_id) in (
  select a.endpoint_id, a.event_id from {rows} r
  join attempts a on a.endpoint_id = r.endpoint_id and a.event_id <= r.upto)

-- name: delete_endpoint
-- rows: id int
delete from webhooks where id in (select id from {rows} r)

-- name: delete_subscriptions
-- rows: endpoint_id int
delete from subscriptions where endpoint_id in (select endpoint_id from {rows} r)

-- name: insert_subscriptions
-- rows: endpoint_id int, account_id int, mode int, type int
insert into subscriptions (account_id, mode, type, endpoint_id)
select r.account_id, r.mode, r.type, r.endpoint_id from {rows} r where true
on conflict do nothing

-- name: bump_webhooks
-- rows: id int
insert into versions (topic, n) select distinct 'webhooks', 1 from {rows} r where true
on conflict (topic) do update set n = versions.n + 1

-- The lane

-- name: delivery_backlog
-- rows: lane int
select lane, 1, account_id, due_at from (
  select r.lane, w.account_id, (
    select min(d.due_at) from deliveries d where d.endpoint_id = r.lane and d.status = 0) as due_at
  from {rows} r join webhooks w on w.id = r.lane) found
where due_at is not null

-- name: due_deliveries
-- rows: held int
select d.event_id, e.type, e.at, e.data, e.account_id, e.mode, e.subject, d.attempts, d.base,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from deliveries d join events e on e.id = d.event_id
left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id
where d.endpoint_id = :lane and d.status = 0 and d.due_at <= :now
  and d.event_id not in (select r.held from {rows} r)
order by d.due_at, d.event_id limit :most

-- The same for some that are in memory.
-- name: pending_deliveries
-- rows: endpoint_id int, event_id int
select d.event_id, e.type, e.at, e.data, e.account_id, e.mode, e.subject, d.attempts, d.base,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from {rows} r join deliveries d on d.endpoint_id = r.endpoint_id and d.event_id = r.event_id and d.status = 0
join events e on e.id = d.event_id
left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id

-- name: settle_deliveries
-- rows: lane int, event_id int, status int, attempts int, due_at int, at int, answer_status int, latency_ms int
-- rows: error text, answer text
update deliveries set status = r.status, attempts = r.attempts, due_at = r.due_at, updated_at = r.at,
  answer_status = r.answer_status, latency_ms = r.latency_ms, error = r.error, answer = r.answer
from {rows} r where deliveries.endpoint_id = r.lane and deliveries.event_id = r.event_id

-- None for a delivery that is gone: its endpoint was deleted meanwhile.
-- name: insert_attempts
-- rows: lane int, event_id int, n int, at int, answer_status int, latency_ms int, error text, answer text, url text
insert into attempts (endpoint_id, event_id, n, at, answer_status, latency_ms, error, answer, url)
select r.lane, r.event_id, r.n, r.at, r.answer_status, r.latency_ms, r.error, r.answer, r.url
from {rows} r join deliveries d on d.endpoint_id = r.lane and d.event_id = r.event_id
where true
on conflict do nothing

-- Health. The counts first, then which of the news that may have come true have, by what the endpoint's row says; the
-- rest is done for those alone. 100 to 103 are failing, disabled, recovered and exhausted.

-- name: clear_failures
-- rows: lane int
update webhooks set failures = 0, failing_since = null
from {rows} r where webhooks.id = r.lane and webhooks.failures > 0

-- name: count_failures
-- rows: lane int, n int, at int
update webhooks set failures = webhooks.failures + r.n, failing_since = coalesce(webhooks.failing_since, r.at)
from {rows} r where webhooks.id = r.lane

-- name: find_news
-- rows: lane int, event_id int, type int, gone int, enough int, before int
-- gives: event_id
select r.event_id
from {rows} r join webhooks w on w.id = r.lane
where r.type = 103
  or (r.type = 102 and w.reported = 1)
  or (r.type = 100 and w.reported = 0 and w.state = 'enabled' and w.failures >= r.enough)
  or (r.type = 101 and w.state = 'enabled' and (
    r.gone = 1 or (w.failures >= r.enough and w.failing_since <= r.before)))
{lock w}

-- name: mark_news
-- rows: event_id int, lane int, type int, reason text, at int
update webhooks set
  reported = case when x.failing = 1 then 1 when x.recovered = 1 then 0 else webhooks.reported end,
  state = case when x.disabled = 1 then 'disabled' else webhooks.state end,
  reason = case when x.disabled = 1 then x.reason else webhooks.reason end,
  updated_at = case when x.disabled = 0 then webhooks.updated_at
    when x.at > webhooks.updated_at then x.at else webhooks.updated_at + 1 end
from (
  select r.lane, max(case when r.type = 100 then 1 else 0 end) as failing,
    max(case when r.type = 102 then 1 else 0 end) as recovered,
    max(case when r.type = 101 then 1 else 0 end) as disabled, max(r.reason) as reason, max(r.at) as at
  from {rows} r group by r.lane) x
where webhooks.id = x.lane

-- name: insert_news
-- rows: id int, subject int, account_id int, mode int, type int, at int, data text
insert into events (id, account_id, mode, type, subject, at, data)
select r.id, r.account_id, r.mode, r.type, r.subject, r.at, r.data from {rows} r where true
on conflict do nothing

-- An endpoint is told nothing about itself: it would not hear it, or without end.
-- name: find_listeners
-- rows: id int, subject int, account_id int, mode int, type int, at int, data text
-- gives: event_id, endpoint_id, at
select r.id as event_id, s.endpoint_id, r.at from {rows} r
join subscriptions s on s.account_id = r.account_id and s.mode = r.mode and s.type = r.type
  and s.endpoint_id <> r.subject

-- name: insert_deliveries
-- rows: event_id int, endpoint_id int, at int
insert into deliveries (endpoint_id, event_id, due_at, updated_at)
select endpoint_id, event_id, at, at from {rows} r where true
on conflict (endpoint_id, event_id) do nothing

-- name: unsubscribe
-- rows: event_id int, endpoint_id int
delete from subscriptions where endpoint_id in (select endpoint_id from {rows} r)

-- By request

-- What succeeded before is an attempt like the others from now on.
-- name: keep_success
-- rows: endpoint_id int, event_id int, url text
insert into attempts (endpoint_id, event_id, n, at, answer_status, latency_ms, answer, url)
select d.endpoint_id, d.event_id, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.answer, r.url
from {rows} r join deliveries d on d.endpoint_id = r.endpoint_id and d.event_id = r.event_id
where d.status = 1
on conflict do nothing

-- name: due_again
-- rows: endpoint_id int, event_id int, at int
update deliveries set status = 0, due_at = r.at, base = deliveries.attempts
from {rows} r where deliveries.endpoint_id = r.endpoint_id and deliveries.event_id = r.event_id

-- Where the next piece of a recovery ends: the number of the last of so many events.
-- name: last_of_events
select max(id) from (
  select e.id from events e
  where e.account_id = :account_id and e.mode = :mode and e.id >= :since and e.id < :until
  order by e.id limit :most) found

-- What an endpoint would have had, by its types (such as ',50,51,'), and has not; what waits for another try goes now.
-- name: recover
-- rows: endpoint_id int, account_id int, mode int, since int, upto int, types text, at int
insert into deliveries (endpoint_id, event_id, due_at, updated_at)
select r.endpoint_id, e.id, r.at, r.at
from {rows} r join events e on e.account_id = r.account_id and e.mode = r.mode and e.id >= r.since and e.id <= r.upto
where r.types like '%,' || cast(e.type as text) || ',%' and e.subject <> r.endpoint_id
on conflict (endpoint_id, event_id) do update
  set status = 0, due_at = excluded.due_at, base = deliveries.attempts
  where deliveries.status = 2 or (deliveries.status = 0 and deliveries.due_at > excluded.due_at)
returning endpoint_id, event_id

-- name: insert_tested
-- rows: event_id int, lane int, status int, at int, answer_status int, latency_ms int, error text, answer text
insert into deliveries (endpoint_id, event_id, status, due_at, attempts, updated_at, answer_status, latency_ms, error, answer)
select lane, event_id, status, at, 1, at, answer_status, latency_ms, error, answer from {rows} r where true
on conflict do nothing

-- Lists, the newest first. `low` is where the newest of each endpoint end: it bounds what is read. The rows come first in
-- the text: SQLite numbers what it meets in turn.

-- name: deliveries_any
-- rows: id int
with wanted as (select id from {rows} r)
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  e.type, e.at
from (
  select r.id, coalesce((
    select x.event_id from deliveries x where x.endpoint_id = r.id and x.event_id <= :event_id
    order by x.event_id desc limit 1 offset :most), 0) as low
  from wanted r) t
join deliveries d on d.endpoint_id = t.id and d.event_id >= t.low and d.event_id <= :event_id
join events e on e.id = d.event_id
where d.event_id < :event_id or d.endpoint_id < :endpoint_id
order by d.event_id desc, d.endpoint_id desc limit :most

-- All that is pending is looked at, keys alone; `+` keeps the planner from walking past all that was delivered instead.
-- name: deliveries_pending
-- rows: id int
with wanted as (select id from {rows} r)
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  e.type, e.at
from (
  select k.endpoint_id, k.event_id from wanted r
  join deliveries k on k.endpoint_id = r.id and k.status = 0 and +k.event_id <= :event_id
  where k.event_id < :event_id or k.endpoint_id < :endpoint_id
  order by +k.event_id desc, k.endpoint_id desc limit :most) found
join deliveries d on d.endpoint_id = found.endpoint_id and d.event_id = found.event_id
join events e on e.id = d.event_id
order by d.event_id desc, d.endpoint_id desc

-- name: deliveries_failed
-- rows: id int
with wanted as (select id from {rows} r)
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  e.type, e.at
from (
  select r.id, coalesce((
    select x.event_id from deliveries x where x.endpoint_id = r.id and x.status = 2 and x.event_id <= :event_id
    order by x.event_id desc limit 1 offset :most), 0) as low
  from wanted r) t
join deliveries k on k.endpoint_id = t.id and k.status = 2 and k.event_id >= t.low and k.event_id <= :event_id
join deliveries d on d.endpoint_id = k.endpoint_id and d.event_id = k.event_id
join events e on e.id = d.event_id
where d.event_id < :event_id or d.endpoint_id < :endpoint_id
order by d.event_id desc, d.endpoint_id desc limit :most

-- name: deliveries_of_event
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  e.type, e.at
from deliveries d join events e on e.id = d.event_id
where d.event_id = :event_id
order by d.endpoint_id desc

-- One, with what it shows.
-- name: delivery
select d.endpoint_id, d.event_id, d.status, d.due_at, d.attempts, d.updated_at, d.answer_status, d.latency_ms, d.error,
  e.type, e.at, d.answer
from deliveries d join events e on e.id = d.event_id
where d.endpoint_id = :endpoint_id and d.event_id = :event_id

-- name: shown
select e.id, e.type, e.at, e.data, e.account_id, e.mode, e.subject, 0, 0,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from events e left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id
where e.id = :event_id

-- name: attempts_of
select n, at, answer_status, latency_ms, error, answer, url from attempts
where endpoint_id = :endpoint_id and event_id = :event_id order by n desc limit 100
