-- name: approved_templates
select t.id, t.account_id, t.mode, t.name, t.approved, r.content
from templates t join template_revisions r on r.template_id = t.id and r.n = t.approved order by t.id

-- name: templates
select t.id, t.name, t.description, t.newest, t.approved, t.created_at, t.updated_at, r.content, r.approved_at
from templates t join template_revisions r on r.template_id = t.id and r.n = t.newest
where t.account_id = :account_id and t.mode = :mode and t.id < :before and (t.name = :name or :name = '')
order by t.id desc limit :most

-- name: template
select t.id, t.name, t.description, t.newest, t.approved, t.created_at, t.updated_at, r.content, r.approved_at
from templates t join template_revisions r on r.template_id = t.id and r.n = t.newest
where t.account_id = :account_id and t.mode = :mode and (t.id = :id or t.name = :name)

-- name: count_templates
select count(*) as n from templates where account_id = :account_id and mode = :mode

-- name: template_revisions
select r.n, r.content, r.created_at, r.created_by, r.approved_at, r.approved_by
from template_revisions r where r.template_id = :id and r.n < :before order by r.n desc limit :most

-- The first of those that come at once with the same name; in the names' order, so that processes don't lock each other out.
-- name: insert_template
-- rows: id int, account_id int, mode int, name text, description text, approved int, at int
insert into templates (id, account_id, mode, name, description, newest, approved, created_at, updated_at)
select id, account_id, mode, name, description, 1, approved, at, at from {rows} r
where true order by account_id, mode, name
on conflict do nothing
returning id

-- Only what nobody else has changed meanwhile; null stays as it is, an approval of 0 is none.
-- name: change_template
-- rows: id int, was int, was_at int, name text, description text, newest int, approved int, at int
-- once: id
update templates set name = r.name, description = r.description, newest = r.newest,
  approved = case when r.approved = 0 then null else coalesce(r.approved, templates.approved) end, updated_at = r.at
from {rows} r where templates.id = r.id and templates.newest = r.was and templates.updated_at = r.was_at
  and not exists (
    select 1 from templates o where o.account_id = templates.account_id and o.mode = templates.mode
      and o.name = r.name and o.id <> templates.id)
returning templates.id

-- name: insert_revision
-- rows: template_id int, n int, content text, at int, key_id int, approved_at int, approved_by int
insert into template_revisions (template_id, n, content, created_at, created_by, approved_at, approved_by)
select template_id, n, content, at, key_id, approved_at, approved_by from {rows} r

-- name: approve_revision
-- rows: template_id int, n int, at int, key_id int
update template_revisions set approved_at = r.at, approved_by = r.key_id
from {rows} r where template_revisions.template_id = r.template_id and template_revisions.n = r.n

-- name: delete_template
-- rows: id int, account_id int, mode int
-- once: id
delete from templates where (id, account_id, mode) in (select id, account_id, mode from {rows} r) returning id

-- name: delete_revisions
-- rows: template_id int
delete from template_revisions where template_id in (select template_id from {rows} r)

-- name: bump_templates
-- rows: id int
update versions set n = n + 1 where topic = 'templates' and exists (select 1 from {rows} r)
