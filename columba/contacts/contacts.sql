-- Contacts. In a step's rows the first column is what `given` looks at: of a change its revision, which is nobody else's.

-- The persons behind some numbers: for rules and templates, many at once. The rows come first: they are few.
-- name: known
-- rows: account_id int, mode int, number text
select c.account_id, c.mode, c.number, c.id, c.name, c.email, c.language, c.tags, c.attributes
from {rows} r cross join contacts c
where c.account_id = r.account_id and c.mode = r.mode and c.number = r.number

-- The same, to be changed.
-- name: contacts_by_number
-- rows: account_id int, mode int, number text
select c.id, c.number, c.name, c.email, c.language, c.tags, c.attributes, c.revision, c.created_at, c.updated_at
from {rows} r cross join contacts c
where c.account_id = r.account_id and c.mode = r.mode and c.number = r.number

-- name: contact
select c.id, c.number, c.name, c.email, c.language, c.tags, c.attributes, c.revision, c.created_at, c.updated_at
from contacts c where c.id = :id and c.account_id = :account_id and c.mode = :mode

-- Changes

-- name: insert_contacts
-- rows: revision int, id int, account_id int, mode int, number text, name text, folded text, email text, language text
-- rows: tags text, attributes text, at int
insert into contacts (id, account_id, mode, number, name, folded, email, language, tags, attributes, revision, created_at,
  updated_at)
select id, account_id, mode, number, name, folded, email, language, tags, attributes, revision, at, at
from {rows} r where true
on conflict do nothing
returning revision

-- name: update_contacts
-- rows: revision int, id int, was int, number text, name text, folded text, email text, language text, tags text
-- rows: attributes text, at int
update contacts set number = r.number, name = r.name, folded = r.folded, email = r.email, language = r.language,
  tags = r.tags, attributes = r.attributes, revision = r.revision, updated_at = r.at
from {rows} r
where contacts.id = r.id and contacts.revision = r.was
returning contacts.revision

-- name: delete_contacts
-- rows: was int, id int
-- once: id
delete from contacts where (id, revision) in (select id, was from {rows} r)
returning revision

-- name: insert_contact_tags
-- rows: revision int, account_id int, mode int, tag text, contact_id int
insert into contact_tags (account_id, mode, tag, contact_id)
select account_id, mode, tag, contact_id from {rows} r where true
on conflict do nothing

-- name: delete_contact_tags
-- rows: revision int, account_id int, mode int, tag text, contact_id int
delete from contact_tags where (account_id, mode, tag, contact_id) in (
  select account_id, mode, tag, contact_id from {rows} r)

-- Lists: the newest first; by name in the order of names.

-- name: contacts
select c.id, c.number, c.name, c.email, c.language, c.tags, c.attributes, c.revision, c.created_at, c.updated_at
from contacts c
where c.account_id = :account_id and c.mode = :mode and c.id < :before
order by c.id desc limit :most

-- name: contacts_tagged
select c.id, c.number, c.name, c.email, c.language, c.tags, c.attributes, c.revision, c.created_at, c.updated_at
from contact_tags t join contacts c on c.id = t.contact_id
where t.account_id = :account_id and t.mode = :mode and t.tag = :tag and t.contact_id < :before
order by t.contact_id desc limit :most

-- name: contacts_named
select c.id, c.number, c.name, c.email, c.language, c.tags, c.attributes, c.revision, c.created_at, c.updated_at, c.folded
from contacts c
where c.account_id = :account_id and c.mode = :mode and c.folded >= :first and c.folded < :beyond
  and (c.folded, c.id) > (:folded, :after)
  and (:tag = '' or exists (
    select 1 from contact_tags t
    where t.account_id = :account_id and t.mode = :mode and t.tag = :tag and t.contact_id = c.id))
order by c.folded, c.id limit :most

-- name: contacts_from
select c.id, c.number, c.name, c.email, c.language, c.tags, c.attributes, c.revision, c.created_at, c.updated_at
from contacts c
where c.account_id = :account_id and c.mode = :mode and c.id > :after
order by c.id limit :most
