//! Where `hearth deploy` takes code from: this machine (a package, or a root), or an object store that the daemon asks.

use super::args;
use super::endpoint;
use super::failure::Failure;
use super::pack;
use super::rootfs;
use hearth_api::primitives::{Blob, base64_sha256};
use hearth_api::shapes::{FunctionCode, UpdateFunctionCodeRequest};

/// What an address in a store begins with.
const SCHEME: &str = "s3://";

/// Code to deploy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A package in hand.
    Package(Vec<u8>),
    /// What the daemon fetches.
    Object {
        /// Bucket.
        bucket: String,
        /// Key.
        key: String,
        /// Version; none for the newest.
        version: Option<String>,
    },
    /// A root that the daemon has.
    Image {
        /// Its address.
        uri: String,
    },
}

/// What is known of the code that a function has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// `CodeSha256`.
    pub(super) sha256: Option<String>,
    /// `ImageUri`.
    pub(super) image: Option<String>,
}

impl Source {
    /// What the command line names; a path is packed, a root is delivered.
    pub(super) fn of(args: &args::Deploy) -> Result<Self, Failure> {
        if let Some(root) = &args.rootfs {
            let state_dir = endpoint::state_dir(args.connection.state_dir.as_deref());
            let socket = endpoint::admin_socket(&state_dir);
            return Ok(Self::Image { uri: rootfs::deliver(&socket, root, args.user.as_deref())? });
        }
        let Some(path) = &args.path else {
            return Err(Failure::Usage("say what to deploy: a path, or --rootfs DIR".to_owned()));
        };
        let place = path.to_str().and_then(|path| path.strip_prefix(SCHEME));
        match (place, &args.object_version) {
            (Some(place), version) => Self::object(place, version.clone()),
            (None, Some(_)) => {
                Err(Failure::Usage("--object-version goes with s3://BUCKET/KEY only".to_owned()))
            }
            (None, None) => Ok(Self::Package(pack::pack(path)?.zip)),
        }
    }

    fn object(place: &str, version: Option<String>) -> Result<Self, Failure> {
        match place.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Self::Object { bucket: bucket.to_owned(), key: key.to_owned(), version })
            }
            _ => Err(Failure::Usage(format!("{SCHEME}{place} names no object: write s3://BUCKET/KEY"))),
        }
    }

    /// Whether the function's code is known to be this already. What is in a store is not known here.
    pub(super) fn is(&self, present: &Present) -> bool {
        match self {
            Self::Package(zip) => present.sha256.as_deref() == Some(&base64_sha256(zip)),
            Self::Object { .. } => false,
            Self::Image { uri } => present.image.as_ref() == Some(uri),
        }
    }

    /// For a function to be created.
    pub(super) fn code(self) -> FunctionCode {
        match self {
            Self::Package(zip) => FunctionCode { zip_file: Some(Blob(zip)), ..Default::default() },
            Self::Object { bucket, key, version } => FunctionCode {
                s3_bucket: Some(bucket),
                s3_key: Some(key),
                s3_object_version: version,
                ..Default::default()
            },
            Self::Image { uri } => FunctionCode { image_uri: Some(uri), ..Default::default() },
        }
    }

    /// For a function that is there.
    pub(super) fn update(self, name: &str) -> UpdateFunctionCodeRequest {
        let code = self.code();
        UpdateFunctionCodeRequest {
            function_name: Some(name.to_owned()),
            zip_file: code.zip_file,
            s3_bucket: code.s3_bucket,
            s3_key: code.s3_key,
            s3_object_version: code.s3_object_version,
            image_uri: code.image_uri,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_bucket_and_a_key() {
        let found = Source::object("b/dir/key.zip", None).expect("an object");
        let expected =
            Source::Object { bucket: "b".to_owned(), key: "dir/key.zip".to_owned(), version: None };
        assert_eq!(found, expected);
        for wrong in ["", "b", "b/", "/key"] {
            assert!(matches!(Source::object(wrong, None), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn only_a_package_in_hand_is_known_to_be_the_same() {
        let package = Source::Package(b"zip".to_vec());
        let present = |bytes| Present { sha256: Some(base64_sha256(bytes)), image: Some("uri".to_owned()) };
        assert!(package.is(&present(b"zip")));
        assert!(!package.is(&present(b"other")) && !package.is(&Present::default()));
        assert!(!Source::object("b/k", None).expect("an object").is(&present(b"x")));
        assert!(Source::Image { uri: "uri".to_owned() }.is(&present(b"x")));
        assert!(!Source::Image { uri: "uri?user=1:1".to_owned() }.is(&present(b"x")));
    }
}
