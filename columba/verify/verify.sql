-- Two-factor codes. In a step's rows `ref` is what it is held to: a verification's id where one is begun, an attempt's else.

-- name: verification
select id, account_id, mode, to_addr, status, hash, asked, counted, checks, max_checks, sends, max_sends, message_id,
  sent_at, created_at, updated_at, expires_at
from verifications where id = :id and account_id = :account_id and mode = :mode

-- The newest of a number.
-- name: verification_of
select id, account_id, mode, to_addr, status, hash, asked, counted, checks, max_checks, sends, max_sends, message_id,
  sent_at, created_at, updated_at, expires_at
from verifications where account_id = :account_id and mode = :mode and to_addr = :to_addr order by id desc limit 1

-- name: verifications
select id, account_id, mode, to_addr, status, hash, asked, counted, checks, max_checks, sends, max_sends, message_id,
  sent_at, created_at, updated_at, expires_at
from verifications
where account_id = :account_id and mode = :mode and id < :before and id >= :after
  and (to_addr = :to_addr or :to_addr = '') and (status = :status or :status < 0)
order by id desc limit :most

-- name: due_verifications
select id, account_id, mode, to_addr, status, hash, asked, counted, checks, max_checks, sends, max_sends, message_id,
  sent_at, created_at, updated_at, expires_at
from verifications where status in (0, 1) and expires_at <= :now order by expires_at limit :most

-- The counts, there and up to date: their rows are held until the plan has ended, so that processes take turns. A window
-- that has passed begins anew; what was sent and entered is halved every 12 hours, and a block that has ended leaves room
-- for a few more tries.
-- name: touch_counts
-- rows: ref int, account_id int, mode int, key text, at int, window_ms int, pace int, spare int, weight int
insert into verify_counts (account_id, mode, key, since, window_ms, paced, rolled_at, sent, entered, blocked_until, reported)
select account_id, mode, key, max(at), max(window_ms), 0, max(at), 0, 0, 0, 1 from {rows} r where true
group by account_id, mode, key order by account_id, mode, key
on conflict (account_id, mode, key) do update set
  window_ms = excluded.window_ms,
  paced = case when excluded.since >= verify_counts.since + excluded.window_ms then 0 else verify_counts.paced end,
  since = case when excluded.since >= verify_counts.since + excluded.window_ms then excluded.since
    else verify_counts.since end,
  sent = case
    when excluded.since >= verify_counts.rolled_at + 172800000 then 0
    when excluded.since >= verify_counts.rolled_at + 43200000 then verify_counts.sent / 2
    when verify_counts.blocked_until > 0 and verify_counts.blocked_until <= excluded.since
      and verify_counts.sent > verify_counts.entered + 30 then verify_counts.entered + 30
    else verify_counts.sent end,
  entered = case
    when excluded.since >= verify_counts.rolled_at + 172800000 then 0
    when excluded.since >= verify_counts.rolled_at + 43200000 then verify_counts.entered / 2
    else verify_counts.entered end,
  rolled_at = case when excluded.since >= verify_counts.rolled_at + 43200000 then excluded.since
    else verify_counts.rolled_at end,
  blocked_until = case when verify_counts.blocked_until <= excluded.since then 0 else verify_counts.blocked_until end

-- Who is over a limit. A send weighs 1, or what it costs. `pace` is how much in a window, `spare` how many more may have been sent than twice those entered:
-- what is over that is blocked, and is so no more as soon as enough are entered.
-- name: judge_counts
-- rows: ref int, account_id int, mode int, key text, at int, window_ms int, pace int, spare int, weight int
-- gives: ref, key, why, until, account_id, mode, at
select y.ref, y.key, y.why, y.until, y.account_id, y.mode, y.at from (
  select x.ref, x.key, x.account_id, x.mode, x.at,
    case when x.spare > 0 and c.sent + x.nth > x.spare + 2 * c.entered
        then case when c.blocked_until > x.at then 'blocked' else 'pumping' end
      when x.pace > 0 and c.paced + x.nth > x.pace then 'pace'
      else '' end as why,
    case when c.blocked_until > x.at then c.blocked_until else c.since + c.window_ms end as until
  from (
    select r.ref, r.account_id, r.mode, r.key, r.at, r.pace, r.spare,
      sum(r.weight) over (partition by r.account_id, r.mode, r.key order by r.ref rows unbounded preceding) as nth
    from {rows} r) x
  join verify_counts c on c.account_id = x.account_id and c.mode = x.mode and c.key = x.key
) y where y.why <> ''

-- name: block_counts
-- rows: ref int, key text, why text, until int, account_id int, mode int, at int
update verify_counts set blocked_until = r.at + 3600000, reported = 0
from (select account_id, mode, key, max(at) as at from {rows} r where why = 'pumping' group by account_id, mode, key) r
where verify_counts.account_id = r.account_id and verify_counts.mode = r.mode and verify_counts.key = r.key

-- Processes take turns at counts, in the order of keys, before at verifications.
-- name: hold_counts
-- rows: ref int, account_id int, mode int, key text, n int
-- gives: key
-- only sqlite
select r.key from {rows} r where r.ref < 0
-- end
-- only postgres
select c.key from verify_counts c
join (select distinct account_id, mode, key from {rows} r) r
  on c.account_id = r.account_id and c.mode = r.mode and c.key = r.key
order by c.account_id, c.mode, c.key for update of c
-- end

-- name: count_sends
-- rows: ref int, account_id int, mode int, key text, n int
update verify_counts set paced = verify_counts.paced + r.n, sent = verify_counts.sent + r.n
from (select account_id, mode, key, cast(sum(n) as bigint) as n from {rows} r group by account_id, mode, key) r
where verify_counts.account_id = r.account_id and verify_counts.mode = r.mode and verify_counts.key = r.key

-- name: count_entered
-- rows: ref int, account_id int, mode int, key text, n int
update verify_counts set
  entered = case when verify_counts.entered + r.n > verify_counts.sent then verify_counts.sent
    else verify_counts.entered + r.n end
from (select account_id, mode, key, cast(sum(n) as bigint) as n from {rows} r group by account_id, mode, key) r
where verify_counts.account_id = r.account_id and verify_counts.mode = r.mode and verify_counts.key = r.key

-- name: insert_verification
-- rows: id int, account_id int, mode int, to_addr text, hash text, asked text, counted text, max_checks int, max_sends int
-- rows: message_id int, at int, second_at int, expires_at int
insert into verifications (id, account_id, mode, to_addr, status, hash, asked, counted, checks, max_checks, sends, max_sends,
  message_id, sent_at, second_at, created_at, updated_at, expires_at)
select id, account_id, mode, to_addr, 0, hash, asked, counted, 0, max_checks, 0, max_sends, message_id, at, second_at, at, at,
  expires_at
from {rows} r where true order by account_id, mode, to_addr
on conflict do nothing
returning id

-- Another send of a code that is open.
-- name: claim_send
-- rows: id int, message_id int, at int, second_at int
-- once: id
update verifications set sends = verifications.sends + 1, message_id = r.message_id, sent_at = r.at, updated_at = r.at,
  second_at = r.second_at
from {rows} r
where verifications.id = r.id and verifications.status = 1 and verifications.sends < verifications.max_sends
  and verifications.expires_at > r.at
returning verifications.id

-- name: unclaim_send
-- rows: id int, message_id int, before int
update verifications set sends = verifications.sends - 1, message_id = r.before from {rows} r
where verifications.id = r.id and verifications.message_id = r.message_id

-- Its message is accepted: from now on the code counts.
-- name: begin_verification
-- rows: message_id int, id int
update verifications set status = 1, sends = 1 from {rows} r
where verifications.id = r.id and verifications.status = 0

-- name: drop_verification
-- rows: id int
delete from verifications where id in (select id from {rows} r) and status = 0

-- Codes that may need a second carrier: what is known of the message that each went with.
-- name: due_seconds
select v.id, v.account_id, v.mode, v.second_at, m.status from verifications v
left join messages m on m.id = v.message_id
where v.status = 1 and v.second_at > 0 and v.second_at <= :now order by v.second_at limit :most

-- name: take_seconds
-- rows: id int, was int
-- once: id
update verifications set second_at = 0 from {rows} r
where verifications.id = r.id and verifications.second_at = r.was and verifications.status = 1
returning verifications.id

-- name: carriers_of
select distinct carrier_id from parts where message_id = :message_id

-- name: end_verification
-- rows: id int, status int, at int
-- once: id
update verifications set status = r.status, updated_at = r.at from {rows} r
where verifications.id = r.id and verifications.status in (0, 1)
returning verifications.id

-- Checks: processes take turns at a verification, in the order of ids; of all that try at once the first right one wins, if
-- it is among as many as may still try.
-- name: hold_verifications
-- rows: ref int, id int, hash text, at int
-- gives: id
select v.id from verifications v where v.id in (select id from {rows} r) order by v.id {lock v}

-- name: right_checks
-- rows: ref int, id int, hash text, at int
-- gives: ref, id
select y.ref, y.id from (
  select x.ref, x.id, x.nth, x.remaining,
    min(case when x.tried = x.hash then x.nth end) over (partition by x.id) as first_right
  from (
    select r.ref, v.id, r.hash as tried, v.hash, v.max_checks - v.checks as remaining,
      row_number() over (partition by v.id order by r.ref) as nth
    from {rows} r join verifications v on v.id = r.id
    where v.status = 1 and v.expires_at > r.at) x) y
where y.nth = y.first_right and y.nth <= y.remaining

-- name: tally_checks
-- rows: ref int, id int, hash text, at int
update verifications set updated_at = r.at,
  checks = case when verifications.checks + r.n > verifications.max_checks then verifications.max_checks
    else verifications.checks + r.n end
from (select id, count(*) as n, max(at) as at from {rows} r group by id) r
where verifications.id = r.id and verifications.status = 1

-- name: approve
-- rows: ref int, id int, at int
update verifications set status = 2, updated_at = r.at from {rows} r where verifications.id = r.id

-- The events of those that were right, in the form in which events are written.
-- name: pass_events
-- rows: ref int, subject int, id int, account_id int, mode int, type int, at int, data text, callback int
-- gives: subject, id, account_id, mode, type, at, data, callback
select subject, id, account_id, mode, type, at, data, callback from {rows} r

-- name: unreported_blocks
select account_id, mode, key, blocked_until, sent, entered from verify_counts
where reported = 0 and blocked_until > 0 order by blocked_until limit :most

-- name: hold_blocks
-- rows: ref int, account_id int, mode int, key text
-- gives: ref
select r.ref from {rows} r
join verify_counts c on c.account_id = r.account_id and c.mode = r.mode and c.key = r.key
where c.reported = 0 and c.blocked_until > 0 {lock c}

-- name: report_blocks
-- rows: ref int, account_id int, mode int, key text
update verify_counts set reported = 1 from {rows} r
where verify_counts.account_id = r.account_id and verify_counts.mode = r.mode and verify_counts.key = r.key

-- name: blocks
select key, blocked_until, sent, entered from verify_counts
where account_id = :account_id and mode = :mode and blocked_until > :now and sent > 2 * entered and key > :after
order by key limit :most

-- name: unblock
-- rows: account_id int, mode int, key text
-- once: account_id, mode, key
update verify_counts set blocked_until = 0, sent = verify_counts.entered, reported = 1
from {rows} r
where verify_counts.account_id = r.account_id and verify_counts.mode = r.mode and verify_counts.key = r.key
  and verify_counts.blocked_until > 0
returning verify_counts.key

-- name: sweep_counts
-- rows: before int, now int
delete from verify_counts where (account_id, mode, key) in (
  select c.account_id, c.mode, c.key from verify_counts c, (select before, now from {rows} r) r
  where c.rolled_at < r.before and c.blocked_until < r.now order by c.rolled_at limit 500)
returning account_id

-- What is held of a person.
-- name: verifications_to
select id, account_id, mode, to_addr, status, hash, asked, counted, checks, max_checks, sends, max_sends, message_id,
  sent_at, created_at, updated_at, expires_at
from verifications where account_id = :account_id and mode = :mode and to_addr = :to_addr and id > :after
order by id limit :most

-- name: erase_verifications
-- rows: id int
delete from verifications where id in (select id from {rows} r) returning id

-- name: erase_counts
-- rows: account_id int, mode int, key text
delete from verify_counts where (account_id, mode, key) in (select account_id, mode, key from {rows} r)
