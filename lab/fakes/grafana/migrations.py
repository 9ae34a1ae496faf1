"""The tables, as steps that are made once and in this order; a step that was released is never changed."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[tuple[str, str], ...]] = (
    (
        "users and sessions",
        """
        CREATE TABLE users (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            login text NOT NULL,
            email text NOT NULL DEFAULT '',
            name text NOT NULL DEFAULT '',
            role text NOT NULL CHECK (role IN ('Viewer', 'Editor', 'Admin')),
            server_admin boolean NOT NULL DEFAULT false,
            disabled boolean NOT NULL DEFAULT false,
            source text NOT NULL CHECK (source IN ('local', 'ldap')),
            password_hash text NOT NULL DEFAULT '',
            created timestamptz NOT NULL DEFAULT now(),
            updated timestamptz NOT NULL DEFAULT now(),
            seen timestamptz
        );
        CREATE UNIQUE INDEX users_login ON users (lower(login));
        CREATE TABLE sessions (
            token_hash bytea PRIMARY KEY,
            person_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
            created timestamptz NOT NULL DEFAULT now(),
            seen timestamptz NOT NULL DEFAULT now(),
            client_ip text NOT NULL
        );
        CREATE INDEX sessions_person ON sessions (person_id);
        CREATE TABLE login_attempts (
            login text NOT NULL,
            made timestamptz NOT NULL DEFAULT now(),
            client_ip text NOT NULL
        );
        CREATE INDEX login_attempts_login ON login_attempts (login, made);
        """,
    ),
    (
        "teams and preferences",
        """
        CREATE TABLE teams (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            name text NOT NULL UNIQUE,
            email text NOT NULL DEFAULT '',
            created timestamptz NOT NULL DEFAULT now(),
            updated timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE team_members (
            team_id bigint NOT NULL REFERENCES teams ON DELETE CASCADE,
            person_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
            level integer NOT NULL DEFAULT 0,
            PRIMARY KEY (team_id, person_id)
        );
        CREATE TABLE preferences (scope text PRIMARY KEY, content jsonb NOT NULL);
        CREATE TABLE organization (id integer PRIMARY KEY CHECK (id = 1), name text NOT NULL);
        INSERT INTO organization VALUES (1, 'Main Org.');
        """,
    ),
    (
        "folders and dashboards",
        """
        CREATE TABLE folders (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            title text NOT NULL,
            description text NOT NULL DEFAULT '',
            parent_uid text REFERENCES folders (uid) ON DELETE CASCADE,
            version integer NOT NULL DEFAULT 1,
            created timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            updated timestamptz NOT NULL DEFAULT now(),
            updated_by text NOT NULL
        );
        CREATE UNIQUE INDEX folders_title ON folders (coalesce(parent_uid, ''), title);
        CREATE TABLE dashboards (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            title text NOT NULL,
            folder_uid text REFERENCES folders (uid) ON DELETE CASCADE,
            content json NOT NULL,
            tags text[] NOT NULL DEFAULT '{}',
            version integer NOT NULL DEFAULT 1,
            created timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            updated timestamptz NOT NULL DEFAULT now(),
            updated_by text NOT NULL
        );
        CREATE INDEX dashboards_folder ON dashboards (folder_uid);
        CREATE TABLE dashboard_versions (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            dashboard_id bigint NOT NULL REFERENCES dashboards ON DELETE CASCADE,
            version integer NOT NULL,
            parent_version integer NOT NULL,
            restored_from integer NOT NULL DEFAULT 0,
            created timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            message text NOT NULL DEFAULT '',
            content json NOT NULL,
            UNIQUE (dashboard_id, version)
        );
        CREATE TABLE permissions (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            folder_uid text REFERENCES folders (uid) ON DELETE CASCADE,
            dashboard_uid text REFERENCES dashboards (uid) ON DELETE CASCADE,
            role text CHECK (role IN ('Viewer', 'Editor')),
            team_id bigint REFERENCES teams ON DELETE CASCADE,
            person_id bigint REFERENCES users ON DELETE CASCADE,
            level integer NOT NULL CHECK (level IN (1, 2, 4)),
            CHECK (num_nonnulls(folder_uid, dashboard_uid) = 1),
            CHECK (num_nonnulls(role, team_id, person_id) = 1)
        );
        CREATE UNIQUE INDEX permissions_once ON permissions (
            coalesce(folder_uid, ''), coalesce(dashboard_uid, ''),
            coalesce(role, ''), coalesce(team_id, 0), coalesce(person_id, 0)
        );
        """,
    ),
)
"""Name and statements of every step."""
