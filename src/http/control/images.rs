//! Functions of `PackageType` `Image`: what their requests may say, where their code is, and what is answered of it.
//!
//! The only images that this release has are root trees of its own store (`hearth-rootfs:sha256:…`, uploaded over the
//! admin socket); a registry's are refused as not built. Rules: AWS documentation, "Create a Lambda function
//! using a container image".

use super::Control;
use super::functions::unbuilt;
use crate::runtimes::image::{NotLocal, RootUri};
use crate::store::{Configuration, FunctionRecord, Pin, UnpackError, record::Code};
use hearth_api::error::ApiError;
use hearth_api::shapes::{
    CreateFunctionRequest, FunctionCode, FunctionCodeLocation, ImageConfig, ImageConfigResponse,
    UpdateFunctionCodeRequest,
};
use hearth_sandbox::Tree;

/// Bytes of an `ImageConfig`'s JSON.
const CONFIG_BYTES_MAX: usize = 16 * 1024;
const NO_PROGRAM: &str =
    "Please provide EntryPoint or Command in ImageConfig: an image of hearth-rootfs has none of its own.";

fn refuse<T>(text: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::invalid_parameter(text.into()))
}

/// The package type of a function to be created, if the request goes with it.
pub(super) fn package_type(input: &CreateFunctionRequest, code: &FunctionCode) -> Result<String, ApiError> {
    let given = input.package_type.clone().unwrap_or_else(|| "Zip".to_owned());
    let Some(uri) = &code.image_uri else {
        return match (given.as_str(), &input.runtime, &input.handler) {
            ("Image", ..) => {
                refuse("Please provide ImageUri when creating a function with packageType Image.")
            }
            (_, Some(_), Some(_)) => Ok(given),
            _ => refuse(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            ),
        };
    };
    if given != "Image" {
        return refuse("Please don't provide ImageUri when creating a function with packageType Zip.");
    }
    if code.zip_file.is_some() || code.s3_bucket.is_some() || code.s3_key.is_some() {
        return refuse("Please do not provide other FunctionCode parameters when providing an ImageUri.");
    }
    // A registry's image may well have a program of its own: its address is what is wrong with it here.
    let is_local = RootUri::parse(uri) != Err(NotLocal::Foreign);
    if is_local && !input.image_config.as_ref().is_some_and(names_a_program) {
        return refuse(NO_PROGRAM);
    }
    Ok(given)
}

/// Whether new code is of the function's own kind.
pub(super) fn check_update(input: &UpdateFunctionCodeRequest, is_image: bool) -> Result<(), ApiError> {
    match (is_image, input.image_uri.is_some()) {
        (false, true) => {
            refuse("Please don't provide ImageUri when updating a function with packageType Zip.")
        }
        (true, false) => refuse("Please provide ImageUri when updating a function with packageType Image."),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Between two looks the function may have been deleted and made anew as something else.
pub(super) fn check_type(record: &FunctionRecord, is_image: bool) -> Result<(), ApiError> {
    if record.is_image() == is_image {
        return Ok(());
    }
    Err(ApiError::conflict("The function's packageType has changed meanwhile."))
}

fn names_a_program(config: &ImageConfig) -> bool {
    let words = config.entry_point.iter().chain(&config.command).flatten();
    words.map(String::as_str).next().is_some_and(|word| !word.is_empty())
}

/// Puts a given `ImageConfig` in the place of the one there was.
pub(super) fn apply(given: Option<ImageConfig>, settings: &mut Configuration) -> Result<(), ApiError> {
    let Some(config) = given else { return Ok(()) };
    if settings.package_type != "Image" {
        return refuse("Please don't provide ImageConfig for a function with packageType Zip.");
    }
    if !names_a_program(&config) {
        return refuse(NO_PROGRAM);
    }
    let words = config.entry_point.iter().chain(&config.command).flatten();
    if words.chain(&config.working_directory).any(|word| word.contains('\0')) {
        return refuse("ImageConfig must not have NUL characters.");
    }
    let value =
        serde_json::to_value(&config).map_err(|error| ApiError::invalid_parameter(error.to_string()))?;
    if value.to_string().len() > CONFIG_BYTES_MAX {
        return refuse(format!("ImageConfig must be smaller than {CONFIG_BYTES_MAX} bytes."));
    }
    settings.image_config = Some(value);
    Ok(())
}

/// What an image cannot have.
pub(super) fn refuse_runtime(settings: &Configuration, is_given: bool) -> Result<(), ApiError> {
    if is_given && settings.package_type == "Image" {
        return refuse(
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image.",
        );
    }
    Ok(())
}

/// The code as it is stored: an image counts nothing against the space for code.
pub(super) fn code(pin: &Pin, settings: &Configuration) -> Code {
    let code = pin.code();
    if settings.image_uri.is_some() { Code { size: 0, ..code } } else { code }
}

/// Where an image is; none for other functions.
pub(super) fn location(record: &FunctionRecord) -> Option<FunctionCodeLocation> {
    let uri = record.configuration.image_uri.clone()?;
    Some(FunctionCodeLocation {
        repository_type: Some("hearth".to_owned()),
        image_uri: Some(uri.clone()),
        resolved_image_uri: Some(uri),
        ..FunctionCodeLocation::default()
    })
}

/// `CodeSha256`: base64 of a package's, hexadecimal of an image's.
pub(super) fn sha256(record: &FunctionRecord) -> String {
    if record.is_image() { record.code.digest.hex() } else { record.code.sha256_base64() }
}

/// `ImageConfigResponse` of stored settings.
pub(super) fn answer(settings: &Configuration) -> Option<ImageConfigResponse> {
    let config = serde_json::from_value(settings.image_config.clone()?).ok()?;
    Some(ImageConfigResponse { image_config: Some(config), error: None })
}

impl Control {
    /// Finds the image of this address and notes it in the settings.
    pub(super) async fn image(&self, uri: &str, settings: &mut Configuration) -> Result<Pin, ApiError> {
        let root = match RootUri::parse(uri) {
            Ok(root) => root,
            Err(NotLocal::Foreign) => return Err(unbuilt("Code.ImageUri of a registry")),
            Err(NotLocal::Malformed) => {
                return refuse(format!(
                    "Source image {uri} is not valid. Provide hearth-rootfs:sha256:<64 digits>, or that with ?user=<uid>:<gid>, where uid is not 0."
                ));
            }
        };
        let blobs = self.blobs.clone();
        let found = tokio::task::spawn_blocking(move || blobs.find(&root.digest)).await;
        let found = found.map_err(|error| self.internal(error))?.map_err(|error| self.internal(error))?;
        let Some(pin) = found else {
            return refuse(format!("Source image {uri} does not exist. Provide a valid source image."));
        };
        let tried = self.shared.code.try_root(Tree::Root(root.digest)).await;
        match tried.map_err(|error| self.internal(error))? {
            Ok(()) => {}
            Err(UnpackError::Root(error)) if error.is_refusal() => {
                return refuse(format!("Source image {uri} is not valid: {error}."));
            }
            Err(error) => return Err(self.internal(error)),
        }
        settings.image_uri = Some(root.to_string());
        Ok(pin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(package_type: &str) -> Configuration {
        Configuration { package_type: package_type.to_owned(), ..Configuration::default() }
    }

    fn config(entry_point: &[&str], command: &[&str]) -> ImageConfig {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        ImageConfig { entry_point: words(entry_point), command: words(command), working_directory: None }
    }

    #[test]
    fn an_image_needs_a_program() {
        for (given, is_taken) in [
            (config(&["app"], &[]), true),
            (config(&[], &["app"]), true),
            (config(&[], &[]), false),
            (config(&[""], &["app"]), false),
            (config(&["a\0b"], &[]), false),
            (config(&[&"x".repeat(CONFIG_BYTES_MAX)], &[]), false),
        ] {
            assert_eq!(apply(Some(given.clone()), &mut settings("Image")).is_ok(), is_taken, "{given:?}");
            assert!(apply(Some(given), &mut settings("Zip")).is_err());
        }
    }

    #[test]
    fn requests_must_go_with_their_package_type() {
        let image = || Some("hearth-rootfs:sha256:0".to_owned());
        let request = |package_type: &str, uri: Option<String>, program: bool| {
            let input = CreateFunctionRequest {
                package_type: Some(package_type.to_owned()),
                image_config: program.then(|| config(&["app"], &[])),
                ..Default::default()
            };
            super::package_type(&input, &FunctionCode { image_uri: uri, ..Default::default() })
        };
        assert_eq!(request("Image", image(), true).ok().as_deref(), Some("Image"));
        for (package_type, uri, program, said) in [
            ("Image", None, true, "Please provide ImageUri"),
            ("Image", image(), false, "EntryPoint or Command"),
            ("Zip", image(), true, "Please don't provide ImageUri"),
            ("Zip", None, false, "Runtime and Handler are mandatory"),
        ] {
            let error = request(package_type, uri, program).expect_err(said);
            assert!(error.message().is_some_and(|text| text.contains(said)), "{:?}", error.message());
        }
    }
}
