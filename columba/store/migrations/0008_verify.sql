-- Two-factor codes: who is being verified, and what was sent to and entered from where.

-- Statuses: 0 starting (its code is not accepted yet), 1 pending, 2 approved, 3 expired, 4 canceled. `hash` is a keyed hash
-- of the code. `second_at` is when to look whether it needs a second carrier, 0 for not. `counted` are the keys of verify_counts that its sends were counted under.
create table verifications (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  to_addr text not null,
  status integer not null,
  hash text not null,
  asked text not null,
  counted text not null,
  checks integer not null,
  max_checks integer not null,
  sends integer not null,
  max_sends integer not null,
  message_id bigint not null,
  sent_at bigint not null,
  second_at bigint not null,
  created_at bigint not null,
  updated_at bigint not null,
  expires_at bigint not null
);
-- A number has one code at a time.
create unique index verifications_open on verifications (account_id, mode, to_addr) where status in (0, 1);
create index verifications_by_number on verifications (account_id, mode, to_addr, id);
create index verifications_by_account on verifications (account_id, mode, id);
create index verifications_seconds on verifications (second_at) where status = 1 and second_at > 0;
create index verifications_due on verifications (expires_at) where status in (0, 1);

-- What was sent to and entered for a number, a prefix, a country, a network, an address, a device: `paced` sends since
-- `since`; `sent` and `entered` fade away. `blocked_until` is set when too many codes were never entered; `reported` is
-- whether the account was told.
create table verify_counts (
  account_id bigint not null,
  mode integer not null,
  key text not null,
  since bigint not null,
  window_ms bigint not null,
  paced bigint not null,
  rolled_at bigint not null,
  sent bigint not null,
  entered bigint not null,
  blocked_until bigint not null,
  reported integer not null,
  primary key (account_id, mode, key)
)
-- only sqlite
without rowid
-- end
;
create index verify_counts_blocked on verify_counts (reported, blocked_until) where blocked_until > 0;
create index verify_counts_rolled on verify_counts (rolled_at);
