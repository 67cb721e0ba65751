-- Alerts, what goes wrong, what is told of it.

-- name: alerts
select id, account_id, mode, name, enabled, rule, channels, version, created_at, updated_at from alerts order by id

-- name: insert_alert
-- rows: id int, account_id int, mode int, name text, enabled int, rule text, channels text, check_at int, at int
insert into alerts (id, account_id, mode, name, enabled, rule, channels, check_at, created_at, updated_at)
select id, account_id, mode, name, enabled, rule, channels, check_at, at, at from {rows} r
returning id

-- Only as it was read.
-- name: update_alert
-- rows: id int, version int, name text, enabled int, rule text, channels text, check_at int, notify_at int, at int
-- once: id
update alerts set name = r.name, enabled = r.enabled, rule = r.rule, channels = r.channels, check_at = r.check_at,
  notify_at = case when alerts.notify_at is null or r.notify_at is null then alerts.notify_at else r.notify_at end,
  version = alerts.version + 1, updated_at = r.at
from {rows} r where alerts.id = r.id and alerts.version = r.version
returning alerts.id

-- name: delete_alert
-- rows: id int
delete from alerts where id in (select r.id from {rows} r)

-- name: forget_incidents
-- rows: id int
delete from alert_incidents where alert_id in (select r.id from {rows} r)

-- name: forget_notices
-- rows: id int
delete from alert_notices where alert_id in (select r.id from {rows} r)

-- name: insert_subscriptions
-- rows: id int, account_id int, mode int, type int
insert into subscriptions (account_id, mode, type, endpoint_id)
select r.account_id, r.mode, r.type, r.id from {rows} r where true
on conflict do nothing

-- name: delete_subscriptions
-- rows: id int
delete from subscriptions where endpoint_id in (select r.id from {rows} r)

-- name: forget_events
-- rows: id int
delete from deliveries where endpoint_id in (select r.id from {rows} r)

-- Events that have come to alerts and are no part of an incident yet.
-- name: news
-- rows: id int
select d.event_id, e.type, e.at, e.data, e.account_id, e.mode, e.subject, d.attempts, d.base,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, null as text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra, d.endpoint_id
from {rows} r join deliveries d on d.endpoint_id = r.id and d.status = 0
join events e on e.id = d.event_id
left join messages m on m.id = e.subject left join bodies b on b.message_id = m.id
order by d.event_id + 0 limit :most

-- Each event becomes part of an incident once, whoever reads it.
-- name: take_news
-- rows: key text, endpoint_id int, event_id int
-- once: key
delete from deliveries where (endpoint_id, event_id) in (select r.endpoint_id, r.event_id from {rows} r)
returning cast(endpoint_id as text) || '.' || cast(event_id as text)

-- name: open_incidents
-- rows: key text, alert_id int, thing text, title text, latest text, recovers int, at int
insert into alert_incidents (alert_id, thing, title, latest, recovers, opened_at, last_at, count)
select r.alert_id, r.thing, max(r.title), max(r.latest), max(r.recovers), min(r.at), max(r.at), count(*)
from {rows} r where true group by r.alert_id, r.thing
on conflict (alert_id, thing) do update set
  opened_at = case when alert_incidents.closed_at is null then alert_incidents.opened_at else excluded.opened_at end,
  title = excluded.title, latest = excluded.latest, last_at = excluded.last_at,
  count = alert_incidents.count + excluded.count, closed_at = null, why = null

-- Those that are over: what was last told of them came later.
-- name: close_incidents
-- rows: key text, alert_id int, thing text, why text, at int
update alert_incidents set closed_at = r.at, why = r.why
from (select alert_id, thing, max(why) as why, max(at) as at from {rows} r group by alert_id, thing) r
where alert_incidents.alert_id = r.alert_id and alert_incidents.thing = r.thing
  and alert_incidents.closed_at is null and alert_incidents.last_at <= r.at

-- There is something to tell: not before `at`, nor sooner than `every` after the last.
-- name: arm
-- rows: key text, alert_id int, at int, every int
update alerts set notify_at = case when coalesce(alerts.notified_at, 0) + r.every > r.at
  then coalesce(alerts.notified_at, 0) + r.every else r.at end
from (select alert_id, min(at) as at, max(every) as every from {rows} r group by alert_id) r
where alerts.id = r.alert_id and alerts.notify_at is null and exists (
  select 1 from alert_incidents i where i.alert_id = r.alert_id and (i.count > i.told or i.closed_at is not null))

-- What nothing tells the end of is over when it has not come again for long.
-- name: settled
-- rows: alert_id int, before int
select i.alert_id, i.thing from {rows} r join alert_incidents i on i.alert_id = r.alert_id
where i.recovers = 0 and i.closed_at is null and i.last_at < r.before

-- name: due_alerts
select id, notify_at from alerts where notify_at <= :now order by notify_at limit :most

-- name: incidents
select thing, title, latest, opened_at, last_at, count, told, closed_at, why, recovers from alert_incidents i
where i.alert_id = :alert_id order by i.opened_at limit :most

-- name: open_counts
-- rows: id int
select i.alert_id, count(*) from {rows} r join alert_incidents i on i.alert_id = r.id
where i.closed_at is null group by i.alert_id

-- name: clocks
-- rows: id int
select a.id, a.notify_at, a.notified_at from {rows} r join alerts a on a.id = r.id

-- name: postpone
-- rows: id int, was int, at int
update alerts set notify_at = r.at from {rows} r where alerts.id = r.id and alerts.notify_at = r.was

-- One process tells.
-- name: claim_notice
-- rows: id int, was int, at int
-- once: id
update alerts set notify_at = null, notified_at = r.at from {rows} r where alerts.id = r.id and alerts.notify_at = r.was
returning alerts.id

-- name: nothing_to_tell
-- rows: id int, was int
update alerts set notify_at = null from {rows} r where alerts.id = r.id and alerts.notify_at = r.was

-- name: mark_told
-- rows: alert_id int, thing text, count int
update alert_incidents set told = r.count from {rows} r
where alert_incidents.alert_id = r.alert_id and alert_incidents.thing = r.thing and alert_incidents.told < r.count

-- Over and told: unless it has begun again meanwhile.
-- name: forget_closed
-- rows: alert_id int, thing text, count int, closed_at int
delete from alert_incidents where exists (
  select 1 from {rows} r where r.alert_id = alert_incidents.alert_id and r.thing = alert_incidents.thing
    and r.count = alert_incidents.count and r.closed_at = alert_incidents.closed_at)

-- What came while the notice was being made is told with the next one.
-- name: arm_again
-- rows: id int, at int
update alerts set notify_at = r.at from {rows} r
where alerts.id = r.id and alerts.notify_at is null and exists (
  select 1 from alert_incidents i where i.alert_id = r.id and (i.count > i.told or i.closed_at is not null))

-- name: insert_notices
-- rows: alert_id int, id int, account_id int, mode int, kind text, recipient text, target text, notice text, status int
-- rows: attempts int, due_at int, error text, at int
insert into alert_notices (id, alert_id, account_id, mode, kind, recipient, target, notice, status, attempts, due_at, error,
  updated_at)
select id, alert_id, account_id, mode, kind, recipient, target, notice, status, attempts, due_at, error, at from {rows} r

-- The kinds of the rows have enough under way.
-- name: due_notices
-- rows: kind text
select id, kind from alert_notices n
where n.status = 0 and n.due_at <= :now and n.kind not in (select r.kind from {rows} r)
order by n.due_at limit :most

-- The next attempt is put off before this one begins.
-- name: claim_sending
-- rows: id int, now int, until int
-- once: id
update alert_notices set due_at = r.until, attempts = alert_notices.attempts + 1 from {rows} r
where alert_notices.id = r.id and alert_notices.status = 0 and alert_notices.due_at <= r.now
returning alert_notices.id

-- name: sending
-- rows: id int
select n.id, n.alert_id, n.account_id, n.mode, n.kind, n.recipient, n.target, n.notice, n.attempts
from {rows} r join alert_notices n on n.id = r.id where n.status = 0

-- name: settle_notice
-- rows: id int, status int, due_at int, error text, at int
update alert_notices set status = r.status, due_at = r.due_at, error = r.error, updated_at = r.at,
  target = case when r.status = 0 then alert_notices.target else null end
from {rows} r where alert_notices.id = r.id and alert_notices.status = 0

-- name: notices
select n.id, n.alert_id, n.kind, n.recipient, n.notice, n.status, n.attempts, n.due_at, n.error, n.updated_at
from alert_notices n where n.alert_id = :alert_id and n.id < :before order by n.id desc limit :most

-- name: sweep_notices
-- rows: before int, most int
delete from alert_notices where id in (
  select n.id from alert_notices n where n.status <> 0 and n.id < (select min(before) from {rows} r)
  order by n.id limit (select min(most) from {rows} r))
returning id

-- Delivery rates.

-- name: claim_check
-- rows: id int, now int, at int
-- once: id
update alerts set check_at = r.at from {rows} r where alerts.id = r.id and alerts.check_at <= r.now
returning alerts.id

-- What became of the newest messages: delivered, and ended otherwise.
-- name: rate
select coalesce(sum(case when s.status = 50 then 1 else 0 end), 0), count(*) from (
  select m.status from messages m
  where m.account_id = :account_id and m.mode = :mode and m.id >= :after and m.direction = 0
    and (:first_lane = 0 or (m.lane >= :first_lane and m.lane < :first_lane + 64))
    and (:klass < 0 or m.class = :klass)
  order by m.id desc limit :most) s
where s.status in (50, 51, 52, 53)

-- Carriers.

-- name: watched
select carrier_id, up, at from carrier_watch

-- Only if it is news.
-- name: watch
-- rows: carrier_id int, up int, at int
insert into carrier_watch (carrier_id, up, at) select carrier_id, up, at from {rows} r where true
on conflict (carrier_id) do update set up = excluded.up, at = excluded.at where carrier_watch.up <> excluded.up
returning carrier_id

-- name: unwatch
-- rows: carrier_id int
delete from carrier_watch where carrier_id in (select r.carrier_id from {rows} r)

-- A person who is to be forgotten: the number goes from what was told.

-- name: erase_incidents
-- rows: account_id int, mode int, number text
update alert_incidents set latest = '' from {rows} r join alerts a on a.account_id = r.account_id and a.mode = r.mode
where alert_incidents.alert_id = a.id and alert_incidents.latest like '%' || r.number || '%'

-- name: erase_notices
-- rows: account_id int, mode int, number text
update alert_notices set notice = replace(alert_notices.notice, r.number, '[erased]') from {rows} r
where alert_notices.account_id = r.account_id and alert_notices.mode = r.mode
  and alert_notices.notice like '%' || r.number || '%'
