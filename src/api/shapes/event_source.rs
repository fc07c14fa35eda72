//! Shapes of event source mappings.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{boolean, choice, integer, list, map, text};
use std::collections::BTreeMap;

alias! {
    BatchSize: i32 = integer().at_least(1).at_most(10_000);
    BisectBatchOnFunctionError: bool = boolean();
    CollectionName: String = text().length(1, 57).pattern(r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)");
    DatabaseName: String = text().length(1, 63).pattern(r"[^ /\.$\x22]*");
    Enabled: bool = boolean();
    EndPointType: String = choice(&["KAFKA_BOOTSTRAP_SERVERS"]);
    Endpoint: String = text().length(1, 300).pattern(r"(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9]):[0-9]{1,5}");
    EndpointLists: Vec<Endpoint> = list(&Endpoint).length(1, 10);
    Endpoints: BTreeMap<EndPointType, EndpointLists> = map(&EndPointType, &EndpointLists).length(1, 2);
    EventSourceMappingArn: String = text().length(85, 120).pattern(r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}");
    EventSourceMappingMetric: String = choice(&["EventCount", "ErrorCount", "KafkaMetrics"]);
    EventSourceMappingMetricList: Vec<EventSourceMappingMetric> = list(&EventSourceMappingMetric).length(0, 3);
    EventSourceMappingSystemLogLevel: String = choice(&["DEBUG", "INFO", "WARN"]);
    EventSourceMappingsList: Vec<EventSourceMappingConfiguration> = list(&EventSourceMappingConfiguration);
    EventSourcePosition: String = choice(&["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"]);
    FilterCriteriaErrorCode: String = text().length(10, 50).pattern(r"[A-Za-z]+Exception");
    FilterCriteriaErrorMessage: String = text().length(10, 2048).pattern(r".*");
    FilterList: Vec<Filter> = list(&Filter);
    FullDocument: String = choice(&["UpdateLookup", "Default"]);
    FunctionResponseType: String = choice(&["ReportBatchItemFailures"]);
    FunctionResponseTypeList: Vec<FunctionResponseType> = list(&FunctionResponseType).length(0, 1);
    KafkaEventSourceMappingConsumptionMode: String = choice(&["Stream", "Queue"]);
    KafkaSchemaRegistryAccessConfigList: Vec<KafkaSchemaRegistryAccessConfig> = list(&KafkaSchemaRegistryAccessConfig);
    KafkaSchemaRegistryAuthType: String = choice(&["BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE", "OAUTHBEARER_AUTH"]);
    KafkaSchemaValidationAttribute: String = choice(&["KEY", "VALUE"]);
    KafkaSchemaValidationConfigList: Vec<KafkaSchemaValidationConfig> = list(&KafkaSchemaValidationConfig);
    MaximumBatchingWindowInSeconds: i32 = integer().at_least(0).at_most(300);
    MaximumConcurrency: i32 = integer().at_least(2).at_most(1000);
    MaximumNumberOfPollers: i32 = integer().at_least(1).at_most(10_000);
    MaximumRecordAgeInSeconds: i32 = integer().at_least(-1).at_most(604_800);
    MaximumRetryAttemptsEventSourceMapping: i32 = integer().at_least(-1).at_most(10_000);
    MinimumNumberOfPollers: i32 = integer().at_least(1).at_most(200);
    ParallelizationFactor: i32 = integer().at_least(1).at_most(10);
    Pattern: String = text().length(0, 4096).pattern(r"[\s\S]*");
    ProvisionedPollerGroupName: String = text().length(0, 128).pattern(r"[a-zA-Z0-9-_]*");
    Queue: String = text().length(1, 1000).pattern(r"[\s\S]*");
    Queues: Vec<Queue> = list(&Queue).length(1, 1);
    SchemaRegistryEventRecordFormat: String = choice(&["JSON", "SOURCE"]);
    SchemaRegistryUri: String = text().length(1, 10_000).pattern(r"[a-zA-Z0-9-\/*:_+=.@-]*");
    SourceAccessConfigurations: Vec<SourceAccessConfiguration> = list(&SourceAccessConfiguration).length(0, 23);
    SourceAccessType: String = choice(&["BASIC_AUTH", "VPC_SUBNET", "VPC_SECURITY_GROUP", "SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH", "VIRTUAL_HOST", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE", "OAUTHBEARER_AUTH", "OAUTHBEARER_SCOPE", "OAUTHBEARER_AUDIENCE", "OAUTHBEARER_LOGICAL_CLUSTER", "OAUTHBEARER_IDENTITY_POOL", "IAM_AUTH", "IAM_OAUTHBEARER_AUTH"]);
    Topic: String = text().length(1, 249).pattern(r"[^.]([a-zA-Z0-9\-_.]+)");
    Topics: Vec<Topic> = list(&Topic).length(1, 1);
    TumblingWindowInSeconds: i32 = integer().at_least(0).at_most(900);
    URI: String = text().length(1, 200).pattern(r"[ a-zA-Z0-9-\/*:_+=.@-]*");
    UUIDString: String = text().length(36, 36);
}

shape! {
    AmazonManagedKafkaEventSourceConfig {
        consumer_group_id: URI = "ConsumerGroupId";
        schema_registry_config: KafkaSchemaRegistryConfig = "SchemaRegistryConfig";
    }
    CreateEventSourceMappingRequest {
        amazon_managed_kafka_event_source_config: AmazonManagedKafkaEventSourceConfig = "AmazonManagedKafkaEventSourceConfig";
        batch_size: BatchSize = "BatchSize";
        bisect_batch_on_function_error: BisectBatchOnFunctionError = "BisectBatchOnFunctionError";
        destination_config: DestinationConfig = "DestinationConfig";
        document_db_event_source_config: DocumentDBEventSourceConfig = "DocumentDBEventSourceConfig";
        enabled: Enabled = "Enabled";
        event_source_arn: Arn = "EventSourceArn";
        filter_criteria: FilterCriteria = "FilterCriteria";
        function_name: NamespacedFunctionName = "FunctionName".required();
        function_response_types: FunctionResponseTypeList = "FunctionResponseTypes";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        logging_config: EventSourceMappingLoggingConfig = "LoggingConfig";
        maximum_batching_window_in_seconds: MaximumBatchingWindowInSeconds = "MaximumBatchingWindowInSeconds";
        maximum_record_age_in_seconds: MaximumRecordAgeInSeconds = "MaximumRecordAgeInSeconds";
        maximum_retry_attempts: MaximumRetryAttemptsEventSourceMapping = "MaximumRetryAttempts";
        metrics_config: EventSourceMappingMetricsConfig = "MetricsConfig";
        parallelization_factor: ParallelizationFactor = "ParallelizationFactor";
        provisioned_poller_config: ProvisionedPollerConfig = "ProvisionedPollerConfig";
        queues: Queues = "Queues";
        scaling_config: ScalingConfig = "ScalingConfig";
        self_managed_event_source: SelfManagedEventSource = "SelfManagedEventSource";
        self_managed_kafka_event_source_config: SelfManagedKafkaEventSourceConfig = "SelfManagedKafkaEventSourceConfig";
        source_access_configurations: SourceAccessConfigurations = "SourceAccessConfigurations";
        starting_position: EventSourcePosition = "StartingPosition";
        starting_position_timestamp: Date = "StartingPositionTimestamp";
        tags: Tags = "Tags";
        topics: Topics = "Topics";
        tumbling_window_in_seconds: TumblingWindowInSeconds = "TumblingWindowInSeconds";
    }
    DeleteEventSourceMappingRequest {
        uuid: UUIDString = "UUID".label().required();
    }
    DocumentDBEventSourceConfig {
        collection_name: CollectionName = "CollectionName";
        database_name: DatabaseName = "DatabaseName";
        full_document: FullDocument = "FullDocument";
    }
    EventSourceMappingConfiguration {
        amazon_managed_kafka_event_source_config: AmazonManagedKafkaEventSourceConfig = "AmazonManagedKafkaEventSourceConfig";
        batch_size: BatchSize = "BatchSize";
        bisect_batch_on_function_error: BisectBatchOnFunctionError = "BisectBatchOnFunctionError";
        destination_config: DestinationConfig = "DestinationConfig";
        document_db_event_source_config: DocumentDBEventSourceConfig = "DocumentDBEventSourceConfig";
        event_source_arn: Arn = "EventSourceArn";
        event_source_mapping_arn: EventSourceMappingArn = "EventSourceMappingArn";
        filter_criteria: FilterCriteria = "FilterCriteria";
        filter_criteria_error: FilterCriteriaError = "FilterCriteriaError";
        function_arn: FunctionArn = "FunctionArn";
        function_response_types: FunctionResponseTypeList = "FunctionResponseTypes";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        last_modified: Date = "LastModified";
        last_processing_result: Text = "LastProcessingResult";
        logging_config: EventSourceMappingLoggingConfig = "LoggingConfig";
        maximum_batching_window_in_seconds: MaximumBatchingWindowInSeconds = "MaximumBatchingWindowInSeconds";
        maximum_record_age_in_seconds: MaximumRecordAgeInSeconds = "MaximumRecordAgeInSeconds";
        maximum_retry_attempts: MaximumRetryAttemptsEventSourceMapping = "MaximumRetryAttempts";
        metrics_config: EventSourceMappingMetricsConfig = "MetricsConfig";
        parallelization_factor: ParallelizationFactor = "ParallelizationFactor";
        provisioned_poller_config: ProvisionedPollerConfig = "ProvisionedPollerConfig";
        queues: Queues = "Queues";
        scaling_config: ScalingConfig = "ScalingConfig";
        self_managed_event_source: SelfManagedEventSource = "SelfManagedEventSource";
        self_managed_kafka_event_source_config: SelfManagedKafkaEventSourceConfig = "SelfManagedKafkaEventSourceConfig";
        source_access_configurations: SourceAccessConfigurations = "SourceAccessConfigurations";
        starting_position: EventSourcePosition = "StartingPosition";
        starting_position_timestamp: Date = "StartingPositionTimestamp";
        state: Text = "State";
        state_transition_reason: Text = "StateTransitionReason";
        topics: Topics = "Topics";
        tumbling_window_in_seconds: TumblingWindowInSeconds = "TumblingWindowInSeconds";
        uuid: UUIDString = "UUID";
    }
    EventSourceMappingLoggingConfig {
        system_log_level: EventSourceMappingSystemLogLevel = "SystemLogLevel";
    }
    EventSourceMappingMetricsConfig {
        metrics: EventSourceMappingMetricList = "Metrics";
    }
    Filter {
        pattern: Pattern = "Pattern";
    }
    FilterCriteria {
        filters: FilterList = "Filters";
    }
    FilterCriteriaError {
        error_code: FilterCriteriaErrorCode = "ErrorCode";
        message: FilterCriteriaErrorMessage = "Message";
    }
    GetEventSourceMappingRequest {
        uuid: UUIDString = "UUID".label().required();
    }
    KafkaSchemaRegistryAccessConfig {
        type_: KafkaSchemaRegistryAuthType = "Type";
        uri: Arn = "URI";
    }
    KafkaSchemaRegistryConfig {
        access_configs: KafkaSchemaRegistryAccessConfigList = "AccessConfigs";
        event_record_format: SchemaRegistryEventRecordFormat = "EventRecordFormat";
        schema_registry_uri: SchemaRegistryUri = "SchemaRegistryURI";
        schema_validation_configs: KafkaSchemaValidationConfigList = "SchemaValidationConfigs";
    }
    KafkaSchemaValidationConfig {
        attribute: KafkaSchemaValidationAttribute = "Attribute";
    }
    ListEventSourceMappingsRequest {
        event_source_arn: Arn = "EventSourceArn".query();
        function_name: NamespacedFunctionName = "FunctionName".query();
        marker: Text = "Marker".query();
        max_items: MaxListItems = "MaxItems".query();
    }
    ListEventSourceMappingsResponse {
        event_source_mappings: EventSourceMappingsList = "EventSourceMappings";
        next_marker: Text = "NextMarker";
    }
    ProvisionedPollerConfig {
        maximum_pollers: MaximumNumberOfPollers = "MaximumPollers";
        minimum_pollers: MinimumNumberOfPollers = "MinimumPollers";
        poller_group_name: ProvisionedPollerGroupName = "PollerGroupName";
    }
    ScalingConfig {
        maximum_concurrency: MaximumConcurrency = "MaximumConcurrency";
    }
    SelfManagedEventSource {
        endpoints: Endpoints = "Endpoints";
    }
    SelfManagedKafkaEventSourceConfig {
        consumer_group_id: URI = "ConsumerGroupId";
        consumption_mode: KafkaEventSourceMappingConsumptionMode = "ConsumptionMode";
        schema_registry_config: KafkaSchemaRegistryConfig = "SchemaRegistryConfig";
    }
    SourceAccessConfiguration {
        type_: SourceAccessType = "Type";
        uri: URI = "URI";
    }
    UpdateEventSourceMappingRequest {
        amazon_managed_kafka_event_source_config: AmazonManagedKafkaEventSourceConfig = "AmazonManagedKafkaEventSourceConfig";
        batch_size: BatchSize = "BatchSize";
        bisect_batch_on_function_error: BisectBatchOnFunctionError = "BisectBatchOnFunctionError";
        destination_config: DestinationConfig = "DestinationConfig";
        document_db_event_source_config: DocumentDBEventSourceConfig = "DocumentDBEventSourceConfig";
        enabled: Enabled = "Enabled";
        filter_criteria: FilterCriteria = "FilterCriteria";
        function_name: NamespacedFunctionName = "FunctionName";
        function_response_types: FunctionResponseTypeList = "FunctionResponseTypes";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        logging_config: EventSourceMappingLoggingConfig = "LoggingConfig";
        maximum_batching_window_in_seconds: MaximumBatchingWindowInSeconds = "MaximumBatchingWindowInSeconds";
        maximum_record_age_in_seconds: MaximumRecordAgeInSeconds = "MaximumRecordAgeInSeconds";
        maximum_retry_attempts: MaximumRetryAttemptsEventSourceMapping = "MaximumRetryAttempts";
        metrics_config: EventSourceMappingMetricsConfig = "MetricsConfig";
        parallelization_factor: ParallelizationFactor = "ParallelizationFactor";
        provisioned_poller_config: ProvisionedPollerConfig = "ProvisionedPollerConfig";
        scaling_config: ScalingConfig = "ScalingConfig";
        self_managed_kafka_event_source_config: SelfManagedKafkaEventSourceConfig = "SelfManagedKafkaEventSourceConfig";
        source_access_configurations: SourceAccessConfigurations = "SourceAccessConfigurations";
        tumbling_window_in_seconds: TumblingWindowInSeconds = "TumblingWindowInSeconds";
        uuid: UUIDString = "UUID".label().required();
    }
}
