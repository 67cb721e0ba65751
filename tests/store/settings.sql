-- name: of_the_journal
-- rows: name text
select current_setting(name) from {rows} r
