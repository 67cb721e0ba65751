-- Alerts: what to tell whom when something goes wrong. Events come to an alert as deliveries do to a webhook, in the
-- transaction that makes them; here they become incidents, and those from time to time a notice.

insert into versions (topic, n) values ('alerts', 1);

-- `rule` is what the account set, but for the channels, which hold addresses and secrets and are sealed. `notify_at`: when
-- the next notice is due; none while there is nothing to tell. `check_at`: when its delivery rate is looked at.
create table alerts (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  name text not null,
  enabled integer not null,
  rule text not null,
  channels text not null,
  version integer not null default 1,
  notify_at bigint,
  notified_at bigint,
  check_at bigint,
  created_at bigint not null,
  updated_at bigint not null
);
create index alerts_due on alerts (notify_at) where notify_at is not null;

-- What goes wrong, a row for each thing it goes wrong with. `told` is how many times of `count` were told.
create table alert_incidents (
  alert_id bigint not null,
  thing text not null,
  title text not null,
  latest text not null,
  recovers integer not null,
  opened_at bigint not null,
  last_at bigint not null,
  count integer not null,
  told integer not null default 0,
  closed_at bigint,
  why text,
  primary key (alert_id, thing)
)
-- only sqlite
without rowid
-- end
;

-- Notices on their way over one channel to one recipient, and those that were. `target` is the channel, sealed.
create table alert_notices (
  id bigint primary key,
  alert_id bigint not null,
  account_id bigint not null,
  mode integer not null,
  kind text not null,
  recipient text not null,
  target text,
  notice text not null,
  status integer not null default 0,
  attempts integer not null default 0,
  due_at bigint not null,
  error text,
  updated_at bigint not null
);
create index alert_notices_by_alert on alert_notices (alert_id, id);
create index alert_notices_pending on alert_notices (due_at) where status = 0;

-- Whether a carrier was told to be down.
create table carrier_watch (
  carrier_id bigint primary key,
  up integer not null,
  at bigint not null
);
