-- name: versions
select topic, n from versions

-- name: bump
-- rows: topic text
insert into versions (topic, n) select distinct topic, 1 from {rows} r where true
on conflict (topic) do update set n = versions.n + 1
