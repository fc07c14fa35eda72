//! Shapes of layers and their policies.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{integer, list, long, text};

alias! {
    CompatibleArchitectures: Vec<Architecture> = list(&Architecture).length(0, 2);
    CompatibleRuntimes: Vec<Runtime> = list(&Runtime).length(0, 15).bare();
    LayerArn: String = text().length(1, 2048).pattern(r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+");
    LayerName: String = text().length(1, 140).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+");
    LayerNameOrArn: String = text().length(1, 2048).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})");
    LayerPermissionAllowedAction: String = text().length(0, 22).pattern(r"lambda:GetLayerVersion");
    LayerPermissionAllowedPrincipal: String = text().length(0, 10_000).pattern(r"\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root");
    LayerVersionNumber: i64 = long();
    LayerVersionsList: Vec<LayerVersionsListItem> = list(&LayerVersionsListItem);
    LayersList: Vec<LayersListItem> = list(&LayersListItem);
    LicenseInfo: String = text().length(0, 512).pattern(r".*");
    MaxLayerListItems: i32 = integer().at_least(1).at_most(50);
    OrganizationId: String = text().length(0, 34).pattern(r"o-[a-z0-9]{10,32}");
}

shape! {
    AddLayerVersionPermissionRequest {
        action: LayerPermissionAllowedAction = "Action".required();
        layer_name: LayerNameOrArn = "LayerName".label().required();
        organization_id: OrganizationId = "OrganizationId";
        principal: LayerPermissionAllowedPrincipal = "Principal".required();
        revision_id: Text = "RevisionId".query();
        statement_id: StatementId = "StatementId".required();
        version_number: LayerVersionNumber = "VersionNumber".label().required();
    }
    AddLayerVersionPermissionResponse {
        revision_id: Text = "RevisionId";
        statement: Text = "Statement";
    }
    DeleteLayerVersionRequest {
        layer_name: LayerNameOrArn = "LayerName".label().required();
        version_number: LayerVersionNumber = "VersionNumber".label().required();
    }
    GetLayerVersionByArnRequest {
        arn: LayerVersionArn = "Arn".query().required();
    }
    GetLayerVersionPolicyRequest {
        layer_name: LayerNameOrArn = "LayerName".label().required();
        version_number: LayerVersionNumber = "VersionNumber".label().required();
    }
    GetLayerVersionPolicyResponse {
        policy: Text = "Policy";
        revision_id: Text = "RevisionId";
    }
    GetLayerVersionRequest {
        layer_name: LayerNameOrArn = "LayerName".label().required();
        version_number: LayerVersionNumber = "VersionNumber".label().required();
    }
    GetLayerVersionResponse {
        compatible_architectures: CompatibleArchitectures = "CompatibleArchitectures";
        compatible_runtimes: CompatibleRuntimes = "CompatibleRuntimes";
        content: LayerVersionContentOutput = "Content";
        created_date: Timestamp = "CreatedDate";
        description: Description = "Description";
        layer_arn: LayerArn = "LayerArn";
        layer_version_arn: LayerVersionArn = "LayerVersionArn";
        license_info: LicenseInfo = "LicenseInfo";
        version: LayerVersionNumber = "Version";
    }
    LayerVersionContentInput {
        s3_bucket: S3Bucket = "S3Bucket";
        s3_key: S3Key = "S3Key";
        s3_object_storage_mode: S3ObjectStorageMode = "S3ObjectStorageMode";
        s3_object_version: S3ObjectVersion = "S3ObjectVersion";
        zip_file: Blob = "ZipFile";
    }
    LayerVersionContentOutput {
        code_sha256: Text = "CodeSha256";
        code_size: Long = "CodeSize";
        location: SensitiveStringOnServerOnly = "Location";
        resolved_s3_object: ResolvedS3Object = "ResolvedS3Object";
        signing_job_arn: Arn = "SigningJobArn";
        signing_profile_version_arn: Arn = "SigningProfileVersionArn";
    }
    LayerVersionsListItem {
        compatible_architectures: CompatibleArchitectures = "CompatibleArchitectures";
        compatible_runtimes: CompatibleRuntimes = "CompatibleRuntimes";
        created_date: Timestamp = "CreatedDate";
        description: Description = "Description";
        layer_version_arn: LayerVersionArn = "LayerVersionArn";
        license_info: LicenseInfo = "LicenseInfo";
        version: LayerVersionNumber = "Version";
    }
    LayersListItem {
        latest_matching_version: LayerVersionsListItem = "LatestMatchingVersion";
        layer_arn: LayerArn = "LayerArn";
        layer_name: LayerName = "LayerName";
    }
    ListLayerVersionsRequest {
        compatible_architecture: Architecture = "CompatibleArchitecture".query();
        compatible_runtime: Runtime = "CompatibleRuntime".query();
        layer_name: LayerNameOrArn = "LayerName".label().required();
        marker: Text = "Marker".query();
        max_items: MaxLayerListItems = "MaxItems".query();
    }
    ListLayerVersionsResponse {
        layer_versions: LayerVersionsList = "LayerVersions";
        next_marker: Text = "NextMarker";
    }
    ListLayersRequest {
        compatible_architecture: Architecture = "CompatibleArchitecture".query();
        compatible_runtime: Runtime = "CompatibleRuntime".query();
        marker: Text = "Marker".query();
        max_items: MaxLayerListItems = "MaxItems".query();
    }
    ListLayersResponse {
        layers: LayersList = "Layers";
        next_marker: Text = "NextMarker";
    }
    PublishLayerVersionRequest {
        compatible_architectures: CompatibleArchitectures = "CompatibleArchitectures";
        compatible_runtimes: CompatibleRuntimes = "CompatibleRuntimes";
        content: LayerVersionContentInput = "Content".required();
        description: Description = "Description";
        layer_name: LayerNameOrArn = "LayerName".label().required();
        license_info: LicenseInfo = "LicenseInfo";
    }
    PublishLayerVersionResponse {
        compatible_architectures: CompatibleArchitectures = "CompatibleArchitectures";
        compatible_runtimes: CompatibleRuntimes = "CompatibleRuntimes";
        content: LayerVersionContentOutput = "Content";
        created_date: Timestamp = "CreatedDate";
        description: Description = "Description";
        layer_arn: LayerArn = "LayerArn";
        layer_version_arn: LayerVersionArn = "LayerVersionArn";
        license_info: LicenseInfo = "LicenseInfo";
        version: LayerVersionNumber = "Version";
    }
    RemoveLayerVersionPermissionRequest {
        layer_name: LayerNameOrArn = "LayerName".label().required();
        revision_id: Text = "RevisionId".query();
        statement_id: StatementId = "StatementId".label().required();
        version_number: LayerVersionNumber = "VersionNumber".label().required();
    }
}
