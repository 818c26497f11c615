//! The one-time link that makes the first company.

use gatehouse_domain::Timestamp;
use gatehouse_platform::ports::StoreResult;

use crate::{Store, connection::vars, row::decode};

const PUT: &str = "UPSERT setup_link:main SET hash = $hash, expires_at = $expires_at RETURN NONE";

const CHECK: &str = "RETURN (SELECT VALUE hash FROM ONLY setup_link:main WHERE hash = $hash AND expires_at > $now) != NONE
    AND array::len((SELECT VALUE id FROM company LIMIT 1)) = 0";

impl Store {
    pub(crate) async fn put_setup_link(&self, hash: &str, expires_at: Timestamp) -> StoreResult<()> {
        self.connection.of_all().write(PUT, vars! { hash: hash, expires_at: expires_at }).await.map(drop)
    }

    pub(crate) async fn is_setup_link(&self, hash: &str, now: Timestamp) -> StoreResult<bool> {
        decode(self.connection.of_all().read(CHECK, vars! { hash: hash, now: now }).await?)
    }
}
