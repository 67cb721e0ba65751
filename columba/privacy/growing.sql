-- What grows with traffic: what is old enough (`look_...`), and whether it may go. `free_...` asks that again in the plan
-- that deletes it. What has not ended, or was given up and may still be replayed, is live: something was done with it, or is
-- due, at `live_since` or later. What nobody has touched for that long waits for something that is switched off.

-- name: look_events
select e.id, coalesce((
    select 0 from deliveries d
    where d.event_id = e.id and d.status <> 1 and (d.updated_at >= :live_since or d.due_at >= :live_since) limit 1), 1)
from events e where e.id > :after and e.id < :before order by e.id limit :most

-- name: free_events
-- rows: id int, live_since int
-- gives: id
select r.id from {rows} r where not exists (
  select 1 from deliveries d
  where d.event_id = r.id and d.status <> 1 and (d.updated_at >= r.live_since or d.due_at >= r.live_since))

-- One that belongs to others which are live is live: they look at what became of it.
-- name: look_runs
select u.id, coalesce((
    select 0 from runs x
    where x.message_id = u.message_id and x.rule_id = u.rule_id and x.status in (0, 2, 3)
      and (x.updated_at >= :live_since or x.due_at >= :live_since) limit 1), 1)
from runs u where u.id > :after and u.id < :before order by u.id limit :most

-- name: free_runs
-- rows: id int, live_since int
-- gives: id, rule_id, message_id
select u.id, u.rule_id, u.message_id from {rows} r join runs u on u.id = r.id
where not exists (
  select 1 from runs x
  where x.message_id = u.message_id and x.rule_id = u.rule_id and x.status in (0, 2, 3)
    and (x.updated_at >= r.live_since or x.due_at >= r.live_since))

-- Of texts as old as these the rule does not know any more what it has done with them.
-- name: mark_rules
-- rows: id int, rule_id int, message_id int
update rules set swept_upto = r.upto
from (select rule_id, max(message_id) as upto from {rows} r group by rule_id) r
where rules.id = r.rule_id and rules.swept_upto < r.upto

-- name: sweep_run_attempts
-- rows: id int, rule_id int, message_id int
delete from run_attempts where run_id in (select id from {rows} r)

-- name: sweep_runs
-- rows: id int, rule_id int, message_id int
delete from runs where id in (select id from {rows} r)

-- Versions of rules that nothing names any more: of rules that are gone, and all but the newest of the others.
-- name: sweep_rule_versions
-- rows: before int, newest int, most int
delete from rule_versions where (rule_id, version) in (
  select v.rule_id, v.version from rule_versions v left join rules t on t.id = v.rule_id
  where v.at < (select before from {rows} r)
    and case when t.id is not null then v.version <= t.version - (select newest from {rows} r)
      else not exists (
        select 1 from rule_versions w where w.rule_id = v.rule_id and w.at >= (select before from {rows} r)) end
  limit (select most from {rows} r))
returning rule_id

-- name: look_verifications
select v.id, case when v.status > 1 then 1 else 0 end from verifications v
where v.id > :after and v.id < :before and cast(:live_since as bigint) >= 0 order by v.id limit :most

-- name: free_verifications
-- rows: id int, live_since int
-- gives: id
select v.id from {rows} r join verifications v on v.id = r.id where v.status > 1

-- name: sweep_verifications
-- rows: id int
delete from verifications where id in (select id from {rows} r)

-- name: look_jobs
select j.id, case when j.state = 'done' then 1 else 0 end from privacy_jobs j
where j.id > :after and j.id < :before and cast(:live_since as bigint) >= 0 order by j.id limit :most

-- name: free_jobs
-- rows: id int, live_since int
-- gives: id
select j.id from {rows} r join privacy_jobs j on j.id = r.id where j.state = 'done'

-- name: sweep_jobs
-- rows: id int
delete from privacy_jobs where id in (select id from {rows} r)

-- The rows of files that were refused: they name people.
-- name: look_imports
select i.id, case when i.updated_at < :live_since then 1 else 0 end from imports i
where i.id > :after and i.id < :before order by i.id limit :most

-- name: sweep_import_refusals
-- rows: id int, most int
delete from import_refusals where (import_id, n) in (
  select f.import_id, f.n from {rows} r join import_refusals f on f.import_id = r.id
  limit (select max(most) from {rows} r))
returning import_id

-- name: sweep_imports
-- rows: id int
delete from imports where id in (select id from {rows} r)

-- Keys that have been good for nothing for so long. What was bound with them goes once nothing waits for it.
-- name: sweep_keys
-- rows: before int
delete from keys where revoked_at < (select before from {rows} r) or expires_at < (select before from {rows} r)
returning id

-- name: sweep_logins
-- rows: before int
delete from smpp_logins where updated_at < (select before from {rows} r)
  and not exists (select 1 from keys k where k.id = smpp_logins.key_id)
  and not exists (select 1 from subscriptions s where s.endpoint_id = -smpp_logins.key_id)
  and not exists (select 1 from deliveries d where d.endpoint_id = -smpp_logins.key_id)
returning key_id
