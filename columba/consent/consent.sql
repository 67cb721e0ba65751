-- name: hash_key
select sealed from hash_keys where name = :name

-- name: insert_hash_key
-- rows: name text, sealed text
insert into hash_keys (name, sealed) select name, sealed from {rows} r where true on conflict (name) do nothing

-- The gate: which messages may not be sent. The newest word that covers sender and class decides.
-- name: refused
-- rows: ref int, id int, account_id int, mode int, hash int, sender text, class int, needs int, pools text
-- gives: ref, id, code
-- `standing` is 0 out, 1 unknown, 2 in: one number of the newest word's time and, in its last bit, whether it is an
-- opt-out, so that no row is sorted; sender and class are looked at where the hash is found, not sought.
select ref, id, case when standing = 0 then 'opted_out' else 'consent_required' end as code
from (
  select r.ref, r.id, r.needs, coalesce((
    select 2 - 2 * (max(s.at * 2 + 1 - s.state) % 2) from standings s
    where s.account_id = r.account_id and s.mode = r.mode and s.hash = r.hash
      and (s.sender = '' or s.sender = r.sender or (r.pools <> '' and r.pools like '%|' || s.sender || '|%'))
      and s.class + 0 in (-1, r.class)), 1) as standing
  from {rows} r) found
where standing <= needs

-- name: record
-- rows: ref int, id int, account_id int, mode int, hash int, number text, sender text, class int, purpose text, action int
-- rows: source text, at int, words text, language text, proof text, message_id int, import_id int, only_if int, now int
-- What a person said, where it is to be recorded. `only_if`: 0 always; 1 an opt-in by a word that often means something
-- else, so only from one who has opted out or was asked to confirm; 2 an opt-out that is not known yet; 3 an opt-in that
-- says something new and is newer than every opt-out that it would overrule; 4 one that overrules none. A yes is to what
-- was asked.
insert into consents (id, account_id, mode, hash, number, sender, class, purpose, action, source, at, words, language,
  proof, message_id, import_id)
select id, account_id, mode, hash, number, sender, class, purpose, action, source, at, words, language, proof,
  message_id, import_id
from (
  select r.id, r.account_id, r.mode, r.hash, r.number, case when q.hash is null then r.sender else q.sender end as sender,
    case when q.hash is null then r.class else q.class end as class, r.purpose, r.action, r.source, r.at, r.words,
    r.language, r.proof, r.message_id, r.import_id, r.only_if, q.hash as asked, row_number() over (
      partition by r.account_id, r.mode, r.hash, r.sender, r.class, r.action order by r.at desc, r.id) as nth, (
      select s.state from standings s
      where s.account_id = r.account_id and s.mode = r.mode and s.hash = r.hash
        and (s.sender = '' or s.sender = r.sender) and (s.class = -1 or s.class = r.class)
      order by s.at desc, s.consent_id desc limit 1) as state, (
      select max(s.at) from standings s
      where s.account_id = r.account_id and s.mode = r.mode and s.hash = r.hash and s.state = 1
        and (s.sender = '' or s.sender = r.sender) and (s.class = -1 or s.class = r.class)) as since, (
      select max(s.at) from standings s
      where s.account_id = r.account_id and s.mode = r.mode and s.hash = r.hash and s.state = 0
        and (s.sender = '' or r.sender = '' or s.sender = r.sender)
        and (s.class = -1 or r.class = -1 or s.class = r.class)) as stopped
  from {rows} r
  left join opt_in_requests q on r.only_if = 1 and q.account_id = r.account_id and q.mode = r.mode
    and q.hash = r.hash and q.expires_at > r.now) heard
where only_if = 0 or (only_if = 1 or nth = 1) and ((only_if = 1 and (state = 0 or asked is not null)) or (only_if = 2 and coalesce(state, 1) <> 0)
  or (only_if = 3 and (stopped is null or stopped < at) and (state is null or state <> 1 or since < at))
  or (only_if = 4 and stopped is null and (state is null or state <> 1 or since < at)))
returning id

-- What was said of a part is void once something is said of the whole.
-- name: drop_narrower
-- rows: id int
delete from standings where (account_id, mode, hash, sender, class) in (
  select s.account_id, s.mode, s.hash, s.sender, s.class
  from {rows} r join consents c on c.id = r.id
  join standings s on s.account_id = c.account_id and s.mode = c.mode and s.hash = c.hash
  where c.action < 2 and s.at <= c.at and (c.sender = '' or s.sender = c.sender)
    and (c.class = -1 or s.class = c.class) and not (s.sender = c.sender and s.class = c.class))

-- name: set_standings
-- rows: id int
insert into standings (account_id, mode, hash, sender, class, state, at, consent_id, changed_by)
select account_id, mode, hash, sender, class, action, at, id, id
from (
  select c.*, row_number() over (
    partition by c.account_id, c.mode, c.hash, c.sender, c.class order by c.at desc, c.id desc) as nth
  from {rows} r join consents c on c.id = r.id where c.action < 2) c
where nth = 1 order by account_id, mode, hash, sender, class
on conflict (account_id, mode, hash, sender, class) do update set state = excluded.state, at = excluded.at,
  consent_id = excluded.consent_id,
  changed_by = case when standings.state = excluded.state then standings.changed_by else excluded.changed_by end
  where excluded.at >= standings.at

-- Those that made a difference, for what follows from one.
-- name: changed
-- rows: id int
-- gives: id
select c.id from {rows} r join consents c on c.id = r.id
where c.action = 2 or exists (
  select 1 from standings s
  where s.account_id = c.account_id and s.mode = c.mode and s.hash = c.hash and s.sender = c.sender
    and s.class = c.class and s.changed_by = c.id)

-- name: insert_stopping
-- rows: id int, before int, spare int, now int, always int
-- Of a file those alone for whom there is something to stop.
insert into stopping (consent_id, account_id, mode, hash, number, sender, class, before, spare, since)
select c.id, c.account_id, c.mode, c.hash, c.number, c.sender, c.class, r.before, r.spare, r.now
from {rows} r join consents c on c.id = r.id
where c.action = 0 and exists (
  select 1 from standings s
  where s.account_id = c.account_id and s.mode = c.mode and s.hash = c.hash and s.sender = c.sender
    and s.class = c.class and s.consent_id = c.id)
  and (r.always = 1 or exists (
    select 1 from messages m where m.to_addr = c.number and m.status in (10, 20)
-- only sqlite
      and +m.account_id = c.account_id and +m.mode = c.mode
-- end
-- only postgres
      and m.account_id = c.account_id and m.mode = c.mode
-- end
    ))

-- name: drop_stopping
-- rows: id int
-- Somebody who opts in again may be texted at once.
delete from stopping where consent_id in (
  select t.consent_id from {rows} r join consents c on c.id = r.id
  join stopping t on t.account_id = c.account_id and t.mode = c.mode and t.hash = c.hash
  where c.action = 1 and (c.sender = '' or t.sender = c.sender) and (c.class = -1 or t.class = c.class))

-- name: set_requests
-- rows: id int, expires_at int
insert into opt_in_requests (account_id, mode, hash, sender, class, consent_id, expires_at)
select account_id, mode, hash, sender, class, id, expires_at
from (
  select c.*, r.expires_at, row_number() over (partition by c.account_id, c.mode, c.hash order by c.id desc) as nth
  from {rows} r join consents c on c.id = r.id where c.action = 2) c
where nth = 1 order by account_id, mode, hash
on conflict (account_id, mode, hash) do update set sender = excluded.sender, class = excluded.class,
  consent_id = excluded.consent_id, expires_at = excluded.expires_at

-- name: drop_requests
-- rows: id int
delete from opt_in_requests where (account_id, mode, hash) in (
  select c.account_id, c.mode, c.hash from {rows} r join consents c on c.id = r.id where c.action < 2)

-- Answers to people. `id` is the message's, so that none is sent twice; no more than one of a kind in a while.
-- name: insert_replies
-- rows: ref int, id int, account_id int, mode int, hash int, number text, sender text, kind text, text text, at int, since int
insert into consent_replies (id, account_id, mode, hash, number, sender, kind, text, at)
select id, account_id, mode, hash, number, sender, kind, text, at
from (
  select r.*, row_number() over (partition by r.account_id, r.mode, r.hash, r.kind order by r.id) as nth
  from {rows} r) r
where nth = 1 and not exists (
  select 1 from consent_replies p
  where p.account_id = r.account_id and p.mode = r.mode and p.hash = r.hash and p.kind = r.kind and p.at > r.since)
returning id

-- name: reply_done
-- rows: id int
update consent_replies set done = 1 from {rows} r where consent_replies.id = r.id

-- name: due_replies
select id, account_id, mode, number, sender, kind, text from consent_replies
where done = 0 and at > :since and at < :before order by at limit 500

-- name: sweep_replies
-- rows: before int
delete from consent_replies where at < (select before from {rows} r)

-- name: sweep_requests
-- rows: before int
delete from opt_in_requests where expires_at < (select before from {rows} r)

-- Opt-outs that are being carried out.
-- name: stopping
select consent_id, account_id, mode, number, sender, class, before, spare, since from stopping

-- name: stopping_any
select 1 from stopping limit 1

-- name: stopped_messages
-- Those of a pool are told apart by who reads this.
select t.consent_id, m.id, m.status, m.lane from stopping t
join messages m on m.to_addr = t.number and m.id < t.before
where m.direction = 0 and m.status in (10, 20) and m.id <> t.spare
-- only sqlite
  and +m.account_id = t.account_id and +m.mode = t.mode
-- end
-- only postgres
  and m.account_id = t.account_id and m.mode = t.mode
-- end
  and (t.sender in ('', m.from_addr) or substr(t.sender, 1, 5) = 'pool_') and (t.class = -1 or t.class = m.class)
order by t.consent_id, m.id limit 1000

-- Scheduled ones are in the store alone.
-- name: fail_scheduled
-- rows: id int, status int, at int, event_id int, error text
-- once: id
update messages set status = r.status, updated_at = r.at, last_event = r.event_id, error = r.error
from {rows} r where messages.id = r.id and messages.status = 10
returning messages.id

-- name: end_stopping
-- rows: consent_id int
delete from stopping where consent_id in (select consent_id from {rows} r)

-- Reading

-- name: ledger
select c.id, c.number, c.sender, c.class, c.purpose, c.action, c.source, c.at, c.words, c.language, c.proof,
  c.message_id, c.import_id
from consents c where c.account_id = :account_id and c.mode = :mode and c.id < :before order by c.id desc limit :most

-- name: ledger_of
select c.id, c.number, c.sender, c.class, c.purpose, c.action, c.source, c.at, c.words, c.language, c.proof,
  c.message_id, c.import_id
from consents c
where c.account_id = :account_id and c.mode = :mode and c.hash = :hash and c.id < :before order by c.id desc limit :most

-- name: ledger_from
select c.id, c.number, c.sender, c.class, c.purpose, c.action, c.source, c.at, c.words, c.language, c.proof,
  c.message_id, c.import_id
from consents c where c.account_id = :account_id and c.mode = :mode and c.id > :after order by c.id limit :most

-- name: consent
select c.id, c.number, c.sender, c.class, c.purpose, c.action, c.source, c.at, c.words, c.language, c.proof,
  c.message_id, c.import_id
from consents c where c.account_id = :account_id and c.mode = :mode and c.id = :id

-- name: standings_of
select s.sender, s.class, s.state, s.at, s.consent_id from standings s
where s.account_id = :account_id and s.mode = :mode and s.hash = :hash order by s.at desc, s.state, s.consent_id desc

-- name: suppressions
select s.consent_id, c.number, s.sender, s.class, c.source, s.at, s.hash from standings s
left join consents c on c.id = s.consent_id
where s.account_id = :account_id and s.mode = :mode and s.state = 0
  and (s.consent_id < :before or (s.consent_id = :before and s.hash < :hash))
order by s.consent_id desc, s.hash desc limit :most

-- name: suppressions_of
select s.consent_id, c.number, s.sender, s.class, c.source, s.at, s.hash from standings s
left join consents c on c.id = s.consent_id
where s.account_id = :account_id and s.mode = :mode and s.hash = :hash and s.state = 0
order by s.consent_id desc limit :most
