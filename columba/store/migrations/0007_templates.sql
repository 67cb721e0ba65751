-- Message templates: named texts with parameters, in several languages, each change a revision of its own.

insert into versions (topic, n) values ('templates', 1);

-- `newest` is the last of template_revisions, `approved` the one that messages are made from (none while null).
create table templates (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  name text not null,
  description text not null,
  newest integer not null,
  approved integer,
  created_at bigint not null,
  updated_at bigint not null
);
create unique index templates_by_name on templates (account_id, mode, name);

create table template_revisions (
  template_id bigint not null,
  n integer not null,
  content text not null,
  created_at bigint not null,
  created_by bigint not null,
  approved_at bigint,
  approved_by bigint,
  primary key (template_id, n)
)
-- only sqlite
without rowid
-- end
;
