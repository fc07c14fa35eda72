//! Where a function's code comes from: the request itself, or an object store.
//!
//! Decides which source a request names and what the client reads when there is no code to be had there; afterwards a
//! package is checked and kept, whichever way it came.

use super::Control;
use crate::aws::s3::{Object, S3Error};
use crate::daemon::fetch::{FETCHED_MAX, FetchError};
use crate::store::{ArchiveError, BlobError, Pin, validate};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::primitives::Blob;
use hearth_api::shapes::{FunctionCode, LayerVersionContentInput, UpdateFunctionCodeRequest};

/// Bytes of a package in a request.
pub(super) const ZIPPED_MAX: usize = 52_428_800;

/// The members by which both requests name code.
pub(super) struct Named {
    pub(super) zip_file: Option<Blob>,
    pub(super) s3_bucket: Option<String>,
    pub(super) s3_key: Option<String>,
    pub(super) s3_object_version: Option<String>,
    pub(super) s3_object_storage_mode: Option<String>,
    pub(super) source_kms_key_arn: Option<String>,
}

/// Takes the members out of a request that has them.
macro_rules! named {
    ($from:expr) => {
        Named {
            zip_file: $from.zip_file.take(),
            s3_bucket: $from.s3_bucket.take(),
            s3_key: $from.s3_key.take(),
            s3_object_version: $from.s3_object_version.take(),
            s3_object_storage_mode: $from.s3_object_storage_mode.take(),
            source_kms_key_arn: $from.source_kms_key_arn.take(),
        }
    };
}

impl From<&mut FunctionCode> for Named {
    fn from(code: &mut FunctionCode) -> Self {
        named!(code)
    }
}

impl From<&mut LayerVersionContentInput> for Named {
    fn from(content: &mut LayerVersionContentInput) -> Self {
        Named {
            zip_file: content.zip_file.take(),
            s3_bucket: content.s3_bucket.take(),
            s3_key: content.s3_key.take(),
            s3_object_version: content.s3_object_version.take(),
            s3_object_storage_mode: content.s3_object_storage_mode.take(),
            source_kms_key_arn: None,
        }
    }
}

impl From<&mut UpdateFunctionCodeRequest> for Named {
    fn from(request: &mut UpdateFunctionCodeRequest) -> Self {
        named!(request)
    }
}

/// A source of code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the request.
    Zip(Blob),
    /// In an object store.
    Object(Object),
}

impl Named {
    /// The one source that is named, or why there is none.
    pub(super) fn source(self) -> Result<Source, ApiError> {
        if self.s3_object_storage_mode.as_deref() == Some("REFERENCE") {
            return Err(super::functions::unbuilt("S3ObjectStorageMode REFERENCE"));
        }
        if self.source_kms_key_arn.is_some() {
            return Err(super::functions::unbuilt("SourceKMSKeyArn"));
        }
        let object = self.s3_bucket.is_some() || self.s3_key.is_some() || self.s3_object_version.is_some();
        match (self.zip_file, self.s3_bucket, self.s3_key) {
            (Some(_), ..) if object => Err(ApiError::invalid_parameter(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            )),
            (Some(zip), ..) => Ok(Source::Zip(zip)),
            (None, Some(bucket), Some(key)) => {
                Ok(Source::Object(Object { bucket, key, version: self.s3_object_version }))
            }
            (None, None, None) if !object => {
                Err(ApiError::invalid_parameter("Please provide a source for function code."))
            }
            (None, ..) => Err(ApiError::invalid_parameter(
                "Please provide both S3Bucket and S3Key when the function code is in Amazon S3.",
            )),
        }
    }
}

impl Control {
    /// Gets the package, checks it and keeps it.
    pub(super) async fn obtain(&self, source: Source) -> Result<Pin, ApiError> {
        match source {
            Source::Zip(zip) => self.keep(zip.0).await,
            Source::Object(object) => self.fetch(&object).await,
        }
    }

    async fn keep(&self, zip: Vec<u8>) -> Result<Pin, ApiError> {
        if zip.len() > ZIPPED_MAX {
            let text = format!("Zipped size must be smaller than {ZIPPED_MAX} bytes");
            return Err(ApiError::new(ErrorCode::RequestEntityTooLargeException, text));
        }
        let blobs = self.blobs.clone();
        let work = move || {
            validate(&zip).map_err(Refusal::Archive)?;
            blobs.put(&zip).map_err(Refusal::Disk)
        };
        let kept = tokio::task::spawn_blocking(work).await.map_err(|error| self.internal(error))?;
        kept.map_err(|refusal| self.refused(refusal))
    }

    async fn fetch(&self, object: &Object) -> Result<Pin, ApiError> {
        let fetched = self.fetcher.fetch(object).await;
        let incoming = fetched.map_err(|error| self.unfetched(error, object))?;
        let work = move || {
            incoming.validate().map_err(Refusal::Archive)?;
            incoming.keep().map_err(Refusal::Disk)
        };
        let kept = tokio::task::spawn_blocking(work).await.map_err(|error| self.internal(error))?;
        kept.map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> ApiError {
        match refusal {
            Refusal::Archive(error @ ArchiveError::Unreadable(_)) => self.internal(error),
            Refusal::Archive(error) => ApiError::invalid_parameter(error.to_string()),
            Refusal::Disk(error) => self.internal(error),
        }
    }

    /// What the client reads of a failed fetch. Whatever the store itself refuses is told in its words, as the service
    /// does; whatever lies between it and us is told as a fault of the service, with its reason.
    fn unfetched(&self, error: FetchError, object: &Object) -> ApiError {
        let told = |said: &dyn std::fmt::Display| {
            let endpoint = self.fetcher.endpoint();
            let text = format!("Error occurred while GetObject of {object} from {endpoint}: {said}.");
            ApiError::new(ErrorCode::ServiceException, text)
        };
        match error {
            FetchError::S3(S3Error::Answer { status, code, message }) => match (status, code.as_str()) {
                (_, "AccessDenied") => {
                    let place = format!("{}/{}", object.bucket, object.key);
                    let text = format!(
                        "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for {place}. S3 Error Code: {code}. S3 Error Message: {message}"
                    );
                    ApiError::new(ErrorCode::AccessDeniedException, text)
                }
                (500.., _) => told(&format!("{code}: {message}")),
                _ => ApiError::invalid_parameter(format!(
                    "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
                )),
            },
            FetchError::TooLarge(_) => {
                ApiError::invalid_parameter(format!("Unzipped size must be smaller than {FETCHED_MAX} bytes"))
            }
            FetchError::Disk(error) => self.internal(error),
            FetchError::Task(error) => self.internal(error),
            error @ (FetchError::S3(_)
            | FetchError::BrokeOff(..)
            | FetchError::Differs { .. }
            | FetchError::TooLong(_)) => told(&error),
        }
    }
}

/// Why a package that is there is not kept.
enum Refusal {
    Archive(ArchiveError),
    Disk(BlobError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(members: &str) -> Named {
        let has = |name: &str| members.split(' ').any(|it| it == name).then(|| name.to_owned());
        Named {
            zip_file: has("zip").map(|_| Blob(vec![1])),
            s3_bucket: has("bucket"),
            s3_key: has("key"),
            s3_object_version: has("version"),
            s3_object_storage_mode: has("COPY").or_else(|| has("REFERENCE")),
            source_kms_key_arn: has("kms"),
        }
    }

    #[test]
    fn exactly_one_source_is_taken() {
        let object = |version: Option<&str>| {
            let version = version.map(str::to_owned);
            Source::Object(Object { bucket: "bucket".into(), key: "key".into(), version })
        };
        assert_eq!(named("zip").source(), Ok(Source::Zip(Blob(vec![1]))));
        assert_eq!(named("bucket key").source(), Ok(object(None)));
        assert_eq!(named("bucket key COPY").source(), Ok(object(None)));
        assert_eq!(named("bucket key version").source(), Ok(object(Some("version"))));
        for (members, status, said) in [
            ("", 400, "Please provide a source for function code."),
            ("bucket", 400, "both S3Bucket and S3Key"),
            ("key", 400, "both S3Bucket and S3Key"),
            ("version", 400, "both S3Bucket and S3Key"),
            ("zip key", 400, "Please do not provide other FunctionCode parameters"),
            ("zip version", 400, "Please do not provide other FunctionCode parameters"),
            ("bucket key REFERENCE", 501, "S3ObjectStorageMode REFERENCE"),
            ("zip kms", 501, "SourceKMSKeyArn"),
        ] {
            let error = named(members).source().expect_err(members);
            assert_eq!(error.status(), status, "{members}");
            assert!(
                error.message().is_some_and(|text| text.contains(said)),
                "{members}: {:?}",
                error.message()
            );
        }
    }
}
