-- An operator's search by the beginning of a username or a domain, in pages: no scan of half a million rows.
create index accounts_by_username on accounts (username collate nocase, account_id);
create index accounts_by_domain on accounts (domain, account_id);
