-- For a short visit: a number for ids, in the transaction that took it no more counted among those that own lanes. It
-- rests for the next half minute, which is longer than any visit.
-- name: step_aside
-- rows: token text
update nodes set beat = {now} - 30000 where token in (select token from {rows} r)
