//! The account as a whole: what it may use, what it uses, and the refusal of code that would be too much.
//!
//! Used is what the catalog names: the packages of all versions of functions and of all layers, one that is named twice
//! counted twice, as the service counts. The bound is looked at right before a commit, not in it: requests that arrive
//! together may pass it by what they bring.

use super::Control;
use super::code::ZIPPED_MAX;
use crate::store::{FunctionRecord, UNZIPPED_MAX};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::shapes::*;

impl Control {
    pub(super) async fn account_settings(&self) -> Result<GetAccountSettingsResponse, ApiError> {
        let usage = self.shared.functions.store.usage().await.map_err(|error| self.internal(error))?;
        let provisioned = self.shared.functions.promised_unreserved("");
        let unreserved =
            u64::from(self.account_concurrency).saturating_sub(usage.reserved).saturating_sub(provisioned);
        Ok(GetAccountSettingsResponse {
            account_limit: Some(AccountLimit {
                total_code_size: i64::try_from(self.code_storage).ok(),
                code_size_unzipped: i64::try_from(UNZIPPED_MAX).ok(),
                code_size_zipped: i64::try_from(ZIPPED_MAX).ok(),
                concurrent_executions: i32::try_from(self.account_concurrency).ok(),
                unreserved_concurrent_executions: i32::try_from(unreserved).ok(),
            }),
            account_usage: Some(AccountUsage {
                total_code_size: i64::try_from(usage.code_bytes).ok(),
                function_count: i64::try_from(usage.functions).ok(),
            }),
        })
    }

    /// Refuses packages that the account has no room for: `added` bytes in the place of `gone`. What takes no more room
    /// than before is never refused.
    pub(super) async fn check_storage(&self, added: u64, gone: u64) -> Result<(), ApiError> {
        if added <= gone {
            return Ok(());
        }
        let usage = self.shared.functions.store.usage().await.map_err(|error| self.internal(error))?;
        if usage.code_bytes.saturating_sub(gone).saturating_add(added) > self.code_storage {
            return Err(ApiError::new(
                ErrorCode::CodeStorageExceededException,
                "Code storage limit exceeded.",
            ));
        }
        Ok(())
    }

    /// The same for `$LATEST` as it is to be, and perhaps for a version of it.
    pub(super) async fn check_function_storage(
        &self,
        record: &FunctionRecord,
        is_published: bool,
    ) -> Result<(), ApiError> {
        let stored = self.shared.functions.store.function(&record.name).await;
        let old = stored.map_err(|error| self.internal(error))?.map_or(0, |stored| stored.code.size);
        let copies = if is_published { 2 } else { 1 };
        self.check_storage(record.code.size.saturating_mul(copies), old).await
    }
}
