-- A call is one thing and another for its devices: answered on one, answered elsewhere for the rest, whatever becomes of it then.
alter table calls_of_devices add column answered_elsewhere integer not null default 0 check (answered_elsewhere in (0, 1));
