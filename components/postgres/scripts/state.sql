SELECT
  CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
  CASE
    WHEN pg_is_in_recovery()
      THEN coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::text
    ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8)
  END;
