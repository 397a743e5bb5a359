-- Ids are UUIDs in 16 bytes. Times are Unix milliseconds. Flags are 0 or 1.

create table devices (
  device_id         blob primary key check (length(device_id) = 16),
  app               text not null,
  name              text,
  provider          text not null check (provider in ('apns', 'fcm', 'webpush', 'webhook')),
  token             text not null,
  alert_token       text,
  environment       text check (environment in ('production', 'development')),
  token_dead        integer not null check (token_dead in (0, 1)),
  alert_token_dead  integer not null check (alert_token_dead in (0, 1)),
  token_set_at_ms   integer not null,
  created_at_ms     integer not null,
  last_seen_at_ms   integer not null
) strict;

create index devices_by_last_seen on devices (last_seen_at_ms);

-- `placement` is the hash of base/placement.ts: a shard reads the rows whose placement % shards is its number.
-- `secret` is sealed (store/vault.ts) for the place "accounts:secret:<account id>".
create table accounts (
  account_id        blob primary key check (length(account_id) = 16),
  placement         integer not null,
  app               text not null,
  username          text not null,
  domain            text not null collate nocase,
  auth_username     text,
  display_name      text,
  proxy             text,
  alternate_proxy   text,
  transport         text not null check (transport in ('auto', 'udp', 'tcp', 'tls')),
  expires_sec       integer not null,
  registration_mode text not null check (registration_mode in ('auto', 'alternate', 'continuous', 'singleDevice')),
  learned_mode      text check (learned_mode in ('alternate', 'continuous', 'singleDevice')),
  nat_emulation     integer not null check (nat_emulation in (0, 1)),
  instance_id       text,
  user_agent        text,
  forward_to        text,
  version           integer not null,
  secret            blob not null,
  unique (app, username, domain)
) strict;

create table subscriptions (
  subscription_id   blob primary key check (length(subscription_id) = 16),
  account_id        blob not null references accounts on delete cascade,
  device_id         blob not null references devices on delete cascade,
  background        integer not null check (background in (0, 1)),
  notify_message    integer not null check (notify_message in (0, 1)),
  notify_voicemail  integer not null check (notify_voicemail in (0, 1)),
  notify_missed     integer not null check (notify_missed in (0, 1)),
  notify_preview    integer not null check (notify_preview in (0, 1)),
  created_at_ms     integer not null,
  unique (account_id, device_id)
) strict;

create index subscriptions_by_device on subscriptions (device_id);
-- Which accounts are to be registered: read in the order of accounts when a shard starts.
create index subscriptions_in_background on subscriptions (account_id) where background = 1;

create table calls (
  call              blob primary key check (length(call) = 16),
  call_id           text not null,
  account_id        blob not null references accounts on delete cascade,
  direction         text not null check (direction in ('inbound', 'outbound')),
  state             text not null,
  from_uri          text not null,
  from_name         text,
  started_at_ms     integer not null,
  answered_at_ms    integer,
  ended_at_ms       integer
) strict;

create index calls_by_account on calls (account_id);
create index calls_by_start on calls (started_at_ms);

create table calls_of_devices (
  device_id         blob not null references devices on delete cascade,
  started_at_ms     integer not null,
  call              blob not null references calls on delete cascade,
  primary key (device_id, started_at_ms, call)
) strict, without rowid;

create index calls_of_devices_by_call on calls_of_devices (call);

-- Settings of the server itself (signing keys), sealed for the place "settings:value:<name>".
create table settings (
  name              text primary key,
  value             blob not null
) strict, without rowid;

-- Data keys of the vault, wrapped by the master key for the place "data_keys:wrapped:<key id>". The highest is in use.
create table data_keys (
  key_id            integer primary key check (key_id > 0),
  wrapped           blob not null
) strict;
