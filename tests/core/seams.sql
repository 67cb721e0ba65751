-- A capability that others could write: who may be written to, kept as tags.

-- name: refused
-- rows: ref int, id int, account_id int, to_addr text, tag text
-- gives: ref, id, tag
select r.ref, r.id, r.tag from {rows} r
where exists (select 1 from tags t where t.account_id = r.account_id and t.mode = 0 and t.tag = r.tag || r.to_addr)

-- name: note
-- rows: message_id int, account_id int, tag text
insert into tags (account_id, mode, tag, message_id) select account_id, 0, tag, message_id from {rows} r where true
on conflict do nothing

-- name: noted
select tag, message_id from tags where mode = 0 order by tag, message_id
