-- What rules have set in motion. In a step's rows the first column is what `given` looks at.

-- name: insert_runs
-- rows: gate int, id int, message_id int, rule_id int, n int, k int, account_id int, mode int, version int, kind int, lane int
-- rows: chain int, status int, due_at int, at int, ref int, person text, noticed text, edits text
insert into runs (id, message_id, rule_id, n, k, account_id, mode, version, kind, lane, chain, status, due_at, updated_at,
  ref, person, noticed, edits)
select id, message_id, rule_id, n, k, account_id, mode, version, kind, lane, chain, status, due_at, at, ref, person,
  noticed, edits
from {rows} r where true
on conflict (message_id, rule_id, n, k) do nothing
returning id

-- A text's tags, where it is shown; those by which it is found are in `tags`.
-- name: retag_bodies
-- rows: message_id int, extra text
update bodies set extra = r.extra from {rows} r where bodies.message_id = r.message_id

-- The lanes

-- name: run_backlog
-- rows: lane int
select lane, 1, account_id, due_at from (
  select r.lane, (
    select min(x.due_at) from runs x where x.lane = r.lane and x.status = 0) as due_at, (
    select x.account_id from runs x where x.lane = r.lane and x.status = 0 limit 1) as account_id
  from {rows} r) found
where due_at is not null

-- name: due_runs
-- rows: held int
select u.id, u.account_id, u.lane, u.rule_id, u.version, u.n, u.k, u.kind, u.chain, u.attempts, u.base, u.person, u.ref,
  u.noticed, u.edits, u.steps,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from runs u join messages m on m.id = u.message_id join bodies b on b.message_id = m.id
where u.lane = :lane and u.status = 0 and u.due_at <= :now and u.id not in (select r.held from {rows} r)
order by u.due_at, u.id limit :most

-- Those that have another destination to go to: 5 is the first of a forward until one succeeds, with a next one.
-- name: chained_runs
select u.id, u.account_id, u.lane, u.rule_id, u.version, u.n, u.k, u.kind, u.chain, u.attempts, u.base, u.person, u.ref,
  u.noticed, u.edits, u.steps,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from runs u join messages m on m.id = u.message_id join bodies b on b.message_id = m.id
where u.lane = :lane and u.status = 0 and u.chain & 7 = 5
order by u.due_at, u.id limit :most

-- The same for some that are in memory.
-- name: pending_runs
-- rows: lane int, id int
select u.id, u.account_id, u.lane, u.rule_id, u.version, u.n, u.k, u.kind, u.chain, u.attempts, u.base, u.person, u.ref,
  u.noticed, u.edits, u.steps,
  m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from {rows} r join runs u on u.id = r.id and u.lane = r.lane and u.status = 0
join messages m on m.id = u.message_id join bodies b on b.message_id = m.id

-- Settling. Who waits for several is locked before they change: of two that end at the same moment, the later sees both.

-- name: lock_waiting
-- rows: lane int, message_id int, rule_id int
-- gives: id
select u.id from {rows} r join runs u on u.message_id = r.message_id and u.rule_id = r.rule_id and u.status = 3
order by u.id {lock u}

-- name: settle_runs
-- rows: lane int, message_id int, id int, status int, attempts int, due_at int, at int, answer_status int, latency_ms int
-- rows: error text, steps text
update runs set status = r.status, attempts = r.attempts, due_at = r.due_at, updated_at = r.at,
  answer_status = r.answer_status, latency_ms = r.latency_ms, error = r.error, steps = r.steps
from {rows} r where runs.id = r.id and runs.lane = r.lane and runs.status in (0, 6)
returning runs.message_id, runs.id

-- name: insert_attempts
-- rows: lane int, run_id int, n int, at int, answer_status int, latency_ms int, error text, request text, answer text
-- rows: exchanges text
insert into run_attempts (run_id, n, at, answer_status, latency_ms, error, request, answer, exchanges)
select run_id, n, at, answer_status, latency_ms, error, request, answer, exchanges from {rows} r where true
on conflict do nothing

-- Those of the same forward that are not needed any more.
-- name: skip_rest
-- rows: lane int, message_id int, rule_id int, n int, k int, at int
update runs set status = 4, updated_at = r.at
from {rows} r
where runs.message_id = r.message_id and runs.rule_id = r.rule_id and runs.n = r.n and runs.k > r.k and runs.status = 3

-- The next destination of a forward.
-- name: start_next
-- rows: lane int, message_id int, rule_id int, n int, k int, at int
update runs set status = 0, due_at = r.at, updated_at = r.at
from {rows} r
where runs.message_id = r.message_id and runs.rule_id = r.rule_id and runs.n = r.n and runs.k = r.k and runs.status = 3
returning runs.id, runs.lane

-- What waits for answers goes when all forwards before it have ended.
-- name: release_waiting
-- rows: lane int, message_id int, rule_id int, at int
update runs set status = 0, due_at = r.at, updated_at = r.at
from (select distinct message_id, rule_id, max(at) as at from {rows} r group by message_id, rule_id) r
where runs.message_id = r.message_id and runs.rule_id = r.rule_id and runs.status = 3 and runs.kind <> 0
  and not exists (
    select 1 from runs f
    where f.message_id = runs.message_id and f.rule_id = runs.rule_id and f.kind = 0 and f.n < runs.n and f.status in (0, 3))
returning runs.id, runs.lane

-- Texts from the same person wait behind the one that is to be tried again.
-- name: hold_back
-- rows: lane int, id int, person text, due_at int
update runs set due_at = r.due_at + 1
from (select lane, person, min(id) as id, max(due_at) as due_at from {rows} r group by lane, person) r
where runs.lane = r.lane and runs.person = r.person and runs.id > r.id and runs.status = 0 and runs.due_at <= r.due_at

-- name: postpone_runs
-- rows: lane int, id int, due_at int
update runs set due_at = case when runs.due_at > r.due_at then runs.due_at else r.due_at end
from {rows} r where runs.id = r.id and runs.lane = r.lane and runs.status = 0

-- What a destination's answer says of the message.
-- name: save_values
-- rows: lane int, message_id int, key text, value text
update bodies set extra =
-- only sqlite
  json_patch(coalesce(bodies.extra, '{}'), json_object('metadata', json(r.saved)))
from (select message_id, json_group_object(key, json(value)) as saved from {rows} r group by message_id) r
-- end
-- only postgres
  jsonb_set(coalesce(bodies.extra, '{}')::jsonb, array['metadata'],
    coalesce(coalesce(bodies.extra, '{}')::jsonb -> 'metadata', '{}'::jsonb) || r.saved)::text
from (select message_id, jsonb_object_agg(key, value::jsonb) as saved from {rows} r group by message_id) r
-- end
where bodies.message_id = r.message_id

-- name: delete_runs
-- rows: message_id int, id int
delete from runs where id in (select id from {rows} r)

-- What the destinations before it answered.
-- name: answers_before
-- rows: id int
select w.id, f.n, f.k, f.lane, f.status, a.answer_status, a.answer
from {rows} r join runs w on w.id = r.id
join runs f on f.message_id = w.message_id and f.rule_id = w.rule_id and f.kind = 0 and f.n < w.n
left join run_attempts a on a.run_id = f.id and a.n = f.attempts
order by w.id, f.n, f.k

-- What the store knows of a person: texts from it before, the last text to it, and texts from it since.
-- name: facts
-- rows: id int, account_id int, mode int, person text
select r.id,
  case when exists (
    select 1 from messages m where m.from_addr = r.person and m.from_addr <> '' and m.id < r.id
      and m.account_id + 0 = r.account_id and m.mode + 0 = r.mode and m.direction + 0 = 1) then 0 else 1 end,
  coalesce((
    select max(m.id) from messages m where m.to_addr = r.person and m.id < r.id
      and m.account_id + 0 = r.account_id and m.mode + 0 = r.mode and m.direction + 0 = 0), 0),
  coalesce((
    select max(m.id) from messages m where m.from_addr = r.person and m.from_addr <> '' and m.id < r.id
      and m.account_id + 0 = r.account_id and m.mode + 0 = r.mode and m.direction + 0 = 1), 0)
from {rows} r

-- The past

-- name: past_texts
select m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments,
  m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra
from messages m join bodies b on b.message_id = m.id
where m.account_id = :account_id and m.mode = :mode and m.id > :after and m.id < :before and m.direction + 0 = 1
order by m.id limit :most

-- name: known_since
select coalesce(max(swept_upto), 0) from rules where id = :rule_id

-- name: texts_there
-- rows: id int
-- gives: id
select m.id from {rows} r join messages m on m.id = r.id

-- name: done_by_rule
-- rows: message_id int, rule_id int
-- With which of these a rule has done something.
select distinct u.message_id from {rows} r join runs u on u.message_id = r.message_id and u.rule_id = r.rule_id

-- Lists, the newest first. What is looked at for a page is bounded: where few fit, it holds few.

-- name: runs_looked
select min(id), count(*) from (
  select id from runs where account_id = :account_id and mode = :mode and id < :before order by id desc limit :look) newest

-- name: runs_between
select u.id, u.message_id, u.rule_id, u.n, u.k, u.version, u.kind, u.lane, u.status, u.due_at, u.attempts, u.updated_at,
  u.ref, u.edits, u.answer_status, u.latency_ms, u.error
from runs u
where u.account_id = :account_id and u.mode = :mode and u.id < :before and u.id >= :after
  and (u.rule_id = :rule_id or :rule_id = 0) and (u.lane = :lane or :lane = 0)
  and (u.status = :status or :status < 0) and (u.kind = :kind or :kind < 0)
  and (:error = '' or u.error = :error or substr(u.error, 1, length(:error) + 2) = :error || ': '
    or u.error is null and u.status = 2 and :error = 'no_destination') and u.kind <> 6
order by u.id desc limit :most

-- name: runs_dead
select u.id, u.message_id, u.rule_id, u.n, u.k, u.version, u.kind, u.lane, u.status, u.due_at, u.attempts, u.updated_at,
  u.ref, u.edits, u.answer_status, u.latency_ms, u.error
from runs u
where u.account_id = :account_id and u.mode = :mode and u.status = 2 and u.id < :before and u.id >= :after
  and (u.rule_id = :rule_id or :rule_id = 0) and (u.lane = :lane or :lane = 0)
  and (u.status = :status or :status < 0) and (u.kind = :kind or :kind < 0)
  and (:error = '' or u.error = :error or substr(u.error, 1, length(:error) + 2) = :error || ': '
    or u.error is null and u.status = 2 and :error = 'no_destination')
order by u.id desc limit :most

-- name: runs_of_message
select u.id, u.message_id, u.rule_id, u.n, u.k, u.version, u.kind, u.lane, u.status, u.due_at, u.attempts, u.updated_at,
  u.ref, u.edits, u.answer_status, u.latency_ms, u.error
from runs u
where u.message_id = :message_id and u.account_id + 0 = :account_id and u.mode + 0 = :mode and u.id + 0 < :before
  and u.id + 0 >= :after
  and (u.rule_id = :rule_id or :rule_id = 0) and (u.lane = :lane or :lane = 0)
  and (u.status = :status or :status < 0) and (u.kind = :kind or :kind < 0)
  and (:error = '' or u.error = :error or substr(u.error, 1, length(:error) + 2) = :error || ': '
    or u.error is null and u.status = 2 and :error = 'no_destination') and u.kind <> 6
order by u.id desc limit :most

-- Those of a person's texts, text by text; a text of which there are none has a row without.
-- name: runs_of_person
select m.id, u.id, u.rule_id, u.kind, u.status, u.updated_at, u.answer_status, u.error
from (
  select id from messages where from_addr = :number and from_addr <> '' and id > :after and direction = 1
    and account_id + 0 = :account_id and mode + 0 = :mode
  order by id limit :most) m
left join runs u on u.message_id = m.id and u.kind <> 6
order by m.id, u.id

-- name: run
select u.id, u.message_id, u.rule_id, u.n, u.k, u.version, u.kind, u.lane, u.status, u.due_at, u.attempts, u.updated_at,
  u.ref, u.edits, u.answer_status, u.latency_ms, u.error
from runs u where u.id = :id and u.account_id = :account_id and u.mode = :mode

-- name: attempts_of
select n, at, answer_status, latency_ms, error, request, answer, exchanges from run_attempts
where run_id = :run_id order by n desc limit 100

-- Once more, with the schedule from its beginning. What is on its way or is done by being written is left alone.
-- name: again
-- rows: id int, at int
update runs set status = 0, due_at = r.at, base = runs.attempts, updated_at = r.at
from {rows} r where runs.id = r.id and runs.status in (1, 2, 4, 5, 6) and runs.kind in (0, 1, 3, 4, 6)
returning runs.id, runs.lane

-- name: edit_run
-- rows: id int, lane int, edits text, at int
update runs set lane = r.lane, edits = r.edits, updated_at = r.at
from {rows} r where runs.id = r.id and runs.status in (2, 5, 6)
returning runs.id

-- name: cancel_runs
-- rows: id int, at int
-- once: id
update runs set status = 6, updated_at = r.at from {rows} r where runs.id = r.id and runs.status in (0, 3)
returning runs.id

-- Of a text that was redacted: what was sent of it, what came back and what was captured.
-- name: redact_runs
-- rows: message_id int
update runs set noticed = null, edits = null, steps = null from {rows} r where runs.message_id = r.message_id

-- name: redact_attempts
-- rows: message_id int
update run_attempts set request = null, answer = null, exchanges = null
where run_id in (select u.id from {rows} r join runs u on u.message_id = r.message_id)
