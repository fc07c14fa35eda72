//! Shapes of function URLs.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{boolean, choice, integer, list, text};

alias! {
    AllowCredentials: bool = boolean();
    AllowMethodsList: Vec<Method> = list(&Method).length(0, 6);
    AllowOriginsList: Vec<Origin> = list(&Origin).length(0, 100);
    FunctionUrl: String = text().length(40, 100);
    FunctionUrlConfigList: Vec<FunctionUrlConfig> = list(&FunctionUrlConfig);
    FunctionUrlFunctionName: String = text().length(1, 140).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?");
    FunctionUrlQualifier: String = text().length(1, 128).pattern(r"((?!^\d+$)^[0-9a-zA-Z-_]+$)");
    Header: String = text().length(0, 1024).pattern(r".*");
    HeadersList: Vec<Header> = list(&Header).length(0, 100);
    InvokeMode: String = choice(&["RESPONSE_STREAM", "BUFFERED"]);
    MaxAge: i32 = integer().at_least(0).at_most(86_400);
    MaxItems: i32 = integer().at_least(1).at_most(50);
    Method: String = text().length(0, 6).pattern(r".*");
    Origin: String = text().length(1, 253).pattern(r".*");
}

shape! {
    Cors {
        allow_credentials: AllowCredentials = "AllowCredentials";
        allow_headers: HeadersList = "AllowHeaders";
        allow_methods: AllowMethodsList = "AllowMethods";
        allow_origins: AllowOriginsList = "AllowOrigins";
        expose_headers: HeadersList = "ExposeHeaders";
        max_age: MaxAge = "MaxAge";
    }
    CreateFunctionUrlConfigRequest {
        auth_type: FunctionUrlAuthType = "AuthType".required();
        cors: Cors = "Cors";
        function_name: FunctionUrlFunctionName = "FunctionName".label().required();
        invoke_mode: InvokeMode = "InvokeMode";
        qualifier: FunctionUrlQualifier = "Qualifier".query();
    }
    CreateFunctionUrlConfigResponse {
        auth_type: FunctionUrlAuthType = "AuthType".required();
        cors: Cors = "Cors";
        creation_time: Timestamp = "CreationTime".required();
        function_arn: FunctionArn = "FunctionArn".required();
        function_url: FunctionUrl = "FunctionUrl".required();
        invoke_mode: InvokeMode = "InvokeMode";
    }
    DeleteFunctionUrlConfigRequest {
        function_name: FunctionUrlFunctionName = "FunctionName".label().required();
        qualifier: FunctionUrlQualifier = "Qualifier".query();
    }
    FunctionUrlConfig {
        auth_type: FunctionUrlAuthType = "AuthType".required();
        cors: Cors = "Cors";
        creation_time: Timestamp = "CreationTime".required();
        function_arn: FunctionArn = "FunctionArn".required();
        function_url: FunctionUrl = "FunctionUrl".required();
        invoke_mode: InvokeMode = "InvokeMode";
        last_modified_time: Timestamp = "LastModifiedTime".required();
    }
    GetFunctionUrlConfigRequest {
        function_name: FunctionUrlFunctionName = "FunctionName".label().required();
        qualifier: FunctionUrlQualifier = "Qualifier".query();
    }
    GetFunctionUrlConfigResponse {
        auth_type: FunctionUrlAuthType = "AuthType".required();
        cors: Cors = "Cors";
        creation_time: Timestamp = "CreationTime".required();
        function_arn: FunctionArn = "FunctionArn".required();
        function_url: FunctionUrl = "FunctionUrl".required();
        invoke_mode: InvokeMode = "InvokeMode";
        last_modified_time: Timestamp = "LastModifiedTime".required();
    }
    ListFunctionUrlConfigsRequest {
        function_name: FunctionUrlFunctionName = "FunctionName".label().required();
        marker: Text = "Marker".query();
        max_items: MaxItems = "MaxItems".query();
    }
    ListFunctionUrlConfigsResponse {
        function_url_configs: FunctionUrlConfigList = "FunctionUrlConfigs".required();
        next_marker: Text = "NextMarker";
    }
    UpdateFunctionUrlConfigRequest {
        auth_type: FunctionUrlAuthType = "AuthType";
        cors: Cors = "Cors";
        function_name: FunctionUrlFunctionName = "FunctionName".label().required();
        invoke_mode: InvokeMode = "InvokeMode";
        qualifier: FunctionUrlQualifier = "Qualifier".query();
    }
    UpdateFunctionUrlConfigResponse {
        auth_type: FunctionUrlAuthType = "AuthType".required();
        cors: Cors = "Cors";
        creation_time: Timestamp = "CreationTime".required();
        function_arn: FunctionArn = "FunctionArn".required();
        function_url: FunctionUrl = "FunctionUrl".required();
        invoke_mode: InvokeMode = "InvokeMode";
        last_modified_time: Timestamp = "LastModifiedTime".required();
    }
}
