-- Rules: what is to be done with texts from people, and what they have set in motion.

insert into versions (topic, n) values ('rules', 1);

-- `place` is where a rule stands among its account's; `spec` is what it says, `version` the last of rule_versions. Of texts
-- up to `swept_upto` it is not known any more what the rule did with them.
create table rules (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  version integer not null,
  place double precision not null,
  enabled integer not null,
  name text not null,
  spec text not null,
  swept_upto bigint not null default 0,
  created_at bigint not null,
  updated_at bigint not null
);

-- What each change made of a rule, and which key changed it. They outlive the rule: what it set in motion names them.
create table rule_versions (
  rule_id bigint not null,
  version integer not null,
  account_id bigint not null,
  mode integer not null,
  change text not null,
  key_id bigint not null,
  at bigint not null,
  enabled integer not null,
  name text not null,
  spec text not null,
  primary key (rule_id, version)
)
-- only sqlite
without rowid
-- end
;

-- What a rule does with a text: a row for each of its actions, of a forward for each destination. `n` is the action's place
-- in the rule, `k` the destination's in the forward. `lane` is the destination's id, else the account's. `ref` is the id of
-- the message that it makes, decided before. `noticed` is what the rule captured of the text, `edits` what was changed since,
-- `steps` what a destination's steps came to that are not done again. `person` is whose order is kept.
-- Statuses: 0 pending, 1 delivered, 2 dead, 3 waits for another of its rule, 4 skipped, 5 failed and the next took over,
-- 6 canceled. `chain` says how it hangs together with others of its rule (columba/forwarding/runs.py). `base` is how many
-- attempts there were when it was last replayed.
create table runs (
-- only sqlite
  id integer primary key,
-- end
-- only postgres
  id bigint primary key,
-- end
  message_id bigint not null,
  rule_id bigint not null,
  n integer not null,
  k integer not null,
  account_id bigint not null,
  mode integer not null,
  version integer not null,
  kind integer not null,
  chain integer not null default 0,
  lane bigint not null,
  status integer not null,
  due_at bigint not null,
  attempts integer not null default 0,
  base integer not null default 0,
  updated_at bigint not null,
  ref bigint,
  person text not null default '',
  noticed text,
  edits text,
  steps text,
  answer_status integer,
  latency_ms integer,
  error text
);
-- A rule does each of its things once with a text.
create unique index runs_by_message on runs (message_id, rule_id, n, k);
create index runs_pending on runs (lane, due_at, id) where status = 0;
create index runs_by_account on runs (account_id, mode, id);
create index runs_dead on runs (account_id, mode, id) where status = 2;

-- What was sent, its secrets masked, and what came back; all exchanges, where there were several.
create table run_attempts (
  run_id bigint not null,
  n integer not null,
  at bigint not null,
  answer_status integer,
  latency_ms integer,
  error text,
  request text,
  answer text,
  exchanges text,
  primary key (run_id, n)
)
-- only sqlite
without rowid
-- end
;
