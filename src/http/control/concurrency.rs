//! Reserved concurrency. What is provisioned comes out of it, or of what is not reserved.

use super::Control;
use crate::store::Change;
use hearth_api::error::ApiError;
use hearth_api::shapes::*;

impl Control {
    pub(super) async fn put_concurrency(
        &self,
        input: PutFunctionConcurrencyRequest,
    ) -> Result<Concurrency, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let reserved = input.reserved_concurrent_executions.unwrap_or(0);
        let _account = self.concurrency_turn.lock().await;
        let _turn = self.shared.functions.gate(&target.name).await;
        let stored =
            self.shared.functions.store.function(&target.name).await.map_err(|error| self.internal(error))?;
        if stored.is_none() {
            return Err(target.version_not_found(&self.shared.functions));
        }
        let functions = &self.shared.functions;
        let provisioned = functions.promised_beside(&target.name, "");
        if u64::try_from(reserved).is_ok_and(|reserved| reserved < provisioned) {
            // The blanks are the service's.
            let text = format!(
                " ReservedConcurrentExecutions  {reserved} should not be lower than function's total provisioned concurrency [{provisioned}]."
            );
            return Err(ApiError::invalid_parameter(text).without_type());
        }
        let others = u32::try_from(functions.promised_unreserved(&target.name)).unwrap_or(u32::MAX);
        let change = Change::Reserve {
            name: target.name.clone(),
            reserved: u32::try_from(reserved).ok(),
            reservable: self
                .account_concurrency
                .saturating_sub(self.unreserved_minimum)
                .saturating_sub(others),
        };
        self.commit(change, &target).await?;
        self.reserve_now(&target.name).await?;
        Ok(Concurrency { reserved_concurrent_executions: Some(reserved) })
    }

    pub(super) async fn get_concurrency(
        &self,
        input: GetFunctionConcurrencyRequest,
    ) -> Result<GetFunctionConcurrencyResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let record = self.record(&target).await?;
        let reserved = record.reserved_concurrency.and_then(|reserved| i32::try_from(reserved).ok());
        Ok(GetFunctionConcurrencyResponse { reserved_concurrent_executions: reserved })
    }

    pub(super) async fn delete_concurrency(
        &self,
        input: DeleteFunctionConcurrencyRequest,
    ) -> Result<NoOutput, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let _account = self.concurrency_turn.lock().await;
        let _turn = self.shared.functions.gate(&target.name).await;
        let change = Change::Reserve {
            name: target.name.clone(),
            reserved: None,
            reservable: self.account_concurrency,
        };
        self.commit(change, &target).await?;
        self.reserve_now(&target.name).await?;
        Ok(NoOutput::default())
    }

    /// Tells the scheduler what is on disk; a function that is not in memory yet gets there, so that what it reserves is
    /// kept from the others at once.
    async fn reserve_now(&self, name: &str) -> Result<(), ApiError> {
        let stored =
            self.shared.functions.store.function(name).await.map_err(|error| self.internal(error))?;
        if let Some(record) = stored {
            let reserved = record.reserved_concurrency;
            self.shared.functions.take_up(record).await.ok();
            self.shared.functions.reserve(name, reserved);
        }
        Ok(())
    }
}
