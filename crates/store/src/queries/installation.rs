//! Which key sealed this database.

use gatehouse_platform::ports::StoreResult;

use crate::{Store, connection::vars, row::decode};

const KEY_ID: &str = "SELECT VALUE key_id FROM ONLY installation:main";

const INIT: &str = "UPSERT installation:main SET key_id = key_id ?? $key_id RETURN NONE";

const SWAP: &str = "UPDATE installation:main SET key_id = $to WHERE key_id = $from RETURN NONE";

impl Store {
    pub(crate) async fn key_id(&self) -> StoreResult<Option<String>> {
        decode(self.connection.of_all().read(KEY_ID, vars! {}).await?)
    }

    pub(crate) async fn init_key_id(&self, key_id: &str) -> StoreResult<()> {
        self.connection.of_all().write(INIT, vars! { key_id: key_id }).await.map(drop)
    }

    pub(crate) async fn swap_key_id(&self, from: &str, to: &str) -> StoreResult<()> {
        self.connection.of_all().write(SWAP, vars! { from: from, to: to }).await.map(drop)
    }
}
