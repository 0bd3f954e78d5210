//! NameOf of commands (MongoDB's manual, reference of database commands). What is none of them is
//! not told: it may be anything.

/// What the value of a command's own element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOf {
    /// A collection.
    Collection,
    /// Something else, or a name that is nobody's business: a user's, a role's.
    Other,
}

/// The command of that name, with what its value is.
#[must_use]
pub fn command(name: &[u8]) -> Option<(&'static str, NameOf)> {
    let find = |list: &[&'static str]| {
        let found = list.iter().find(|known| known.as_bytes() == name);
        found.copied()
    };
    match find(ON_COLLECTIONS) {
        Some(known) => Some((known, NameOf::Collection)),
        None => find(OTHERS).map(|known| (known, NameOf::Other)),
    }
}

const ON_COLLECTIONS: &[&str] = &[
    "find",
    "insert",
    "update",
    "delete",
    "aggregate",
    "findAndModify",
    "findandmodify",
    "count",
    "distinct",
    "mapReduce",
    "create",
    "drop",
    "createIndexes",
    "dropIndexes",
    "listIndexes",
    "createSearchIndexes",
    "dropSearchIndex",
    "updateSearchIndex",
    "collMod",
    "collStats",
    "compact",
    "convertToCapped",
    "validate",
    "killCursors",
    "reIndex",
    "geoSearch",
    "planCacheClear",
];

const OTHERS: &[&str] = &[
    "getMore",
    "bulkWrite",
    "explain",
    "hello",
    "isMaster",
    "ismaster",
    "ping",
    "buildInfo",
    "buildinfo",
    "saslStart",
    "saslContinue",
    "authenticate",
    "logout",
    "endSessions",
    "startSession",
    "refreshSessions",
    "killSessions",
    "killAllSessions",
    "commitTransaction",
    "abortTransaction",
    "listCollections",
    "listDatabases",
    "dropDatabase",
    "renameCollection",
    "dbStats",
    "serverStatus",
    "hostInfo",
    "connectionStatus",
    "whatsmyuri",
    "getParameter",
    "setParameter",
    "getLog",
    "getCmdLineOpts",
    "currentOp",
    "killOp",
    "top",
    "fsync",
    "fsyncUnlock",
    "profile",
    "shutdown",
    "createUser",
    "updateUser",
    "dropUser",
    "usersInfo",
    "createRole",
    "updateRole",
    "dropRole",
    "rolesInfo",
    "grantRolesToUser",
    "revokeRolesFromUser",
    "replSetGetStatus",
    "replSetGetConfig",
    "replSetHeartbeat",
    "replSetUpdatePosition",
    "shardCollection",
    "enableSharding",
    "listShards",
    "listCommands",
    "features",
    "getDefaultRWConcern",
    "lockInfo",
];
