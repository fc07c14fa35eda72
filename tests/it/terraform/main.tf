# Everything in two states: what stage 2 changes is written `local.second ? … : …`.
variable "stage" {
  type = number
}

variable "runtime" {
  type = string
}

# Folder of code1.zip, code2.zip, layer1.zip and layer2.zip.
variable "packages" {
  type = string
}

variable "name" {
  type = string
}

locals {
  second = var.stage == 2
  role   = "arn:aws:iam::000000000000:role/terraform"
  code   = "${var.packages}/code${var.stage}.zip"
  layer  = "${var.packages}/layer${var.stage}.zip"
}

# --- log groups ---

resource "aws_cloudwatch_log_group" "main" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = local.second ? 30 : 7
  tags              = { stage = var.stage }
}

# --- layers ---

resource "aws_lambda_layer_version" "main" {
  layer_name               = var.name
  description              = "layer of stage ${var.stage}"
  filename                 = local.layer
  source_code_hash         = filebase64sha256(local.layer)
  compatible_runtimes      = [var.runtime]
  compatible_architectures = ["x86_64"]
  license_info             = "MIT"
}

resource "aws_lambda_layer_version_permission" "main" {
  layer_name     = aws_lambda_layer_version.main.layer_name
  version_number = aws_lambda_layer_version.main.version
  statement_id   = "share"
  action         = "lambda:GetLayerVersion"
  principal      = local.second ? "*" : "111122223333"
}

# --- functions and versions ---

resource "aws_lambda_function" "main" {
  function_name                  = var.name
  description                    = local.second ? "" : "the first stage"
  role                           = local.role
  runtime                        = var.runtime
  handler                        = "index.handler"
  filename                       = local.code
  source_code_hash               = filebase64sha256(local.code)
  publish                        = true
  memory_size                    = local.second ? 256 : 128
  timeout                        = local.second ? 10 : 5
  reserved_concurrent_executions = local.second ? 7 : 5
  layers                         = [aws_lambda_layer_version.main.arn]
  tags                           = local.second ? { stage = "2", more = "yes" } : { stage = "1", less = "yes" }

  ephemeral_storage {
    size = local.second ? 1024 : 512
  }

  environment {
    variables = local.second ? { STAGE = "2", MORE = "yes" } : { STAGE = "1", LESS = "yes" }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = local.second ? "DEBUG" : "INFO"
    system_log_level      = local.second ? "INFO" : "WARN"
    log_group             = aws_cloudwatch_log_group.main.name
  }

  tracing_config {
    mode = local.second ? "PassThrough" : "Active"
  }
}

# With nothing said but what must be said: the provider's defaults have to be the service's.
resource "aws_lambda_function" "plain" {
  function_name    = "${var.name}-plain"
  role             = local.role
  runtime          = var.runtime
  handler          = "index.handler"
  filename         = "${var.packages}/code1.zip"
  source_code_hash = filebase64sha256("${var.packages}/code1.zip")
}

# --- aliases ---

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "stage ${var.stage}"
  function_name    = aws_lambda_function.main.function_name
  function_version = local.second ? "1" : aws_lambda_function.main.version

  dynamic "routing_config" {
    for_each = local.second ? [1] : []
    content {
      additional_version_weights = { (aws_lambda_function.main.version) = 0.25 }
    }
  }
}

# --- permissions ---

resource "aws_lambda_permission" "events" {
  statement_id  = "events"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.main.function_name
  principal     = "events.amazonaws.com"
  source_arn    = "arn:aws:events:us-east-1:000000000000:rule/stage-${var.stage}"
}

resource "aws_lambda_permission" "alias" {
  statement_id   = "s3"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.main.function_name
  qualifier      = aws_lambda_alias.live.name
  principal      = "s3.amazonaws.com"
  source_account = "000000000000"
  source_arn     = "arn:aws:s3:::bucket"
}

# Without a statement id of its own, and for everybody's function URL.
resource "aws_lambda_permission" "url" {
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.main.function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}

# --- function URLs ---

resource "aws_lambda_function_url" "main" {
  function_name      = aws_lambda_function.main.function_name
  authorization_type = local.second ? "AWS_IAM" : "NONE"

  dynamic "cors" {
    for_each = local.second ? [] : [1]
    content {
      allow_credentials = true
      allow_origins     = ["https://example.com"]
      allow_methods     = ["GET", "POST"]
      allow_headers     = ["date"]
      expose_headers    = ["date"]
      max_age           = 60
    }
  }
}

resource "aws_lambda_function_url" "alias" {
  function_name      = aws_lambda_function.main.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
  invoke_mode        = local.second ? "RESPONSE_STREAM" : "BUFFERED"

  cors {
    allow_origins = local.second ? ["*"] : ["https://example.com"]
  }
}

# --- event invoke configurations ---

resource "aws_lambda_function_event_invoke_config" "main" {
  function_name                = aws_lambda_function.main.function_name
  maximum_event_age_in_seconds = local.second ? 120 : 60
  maximum_retry_attempts       = local.second ? 1 : 0

  dynamic "destination_config" {
    for_each = local.second ? [] : [1]
    content {
      on_failure {
        destination = "arn:aws:sqs:us-east-1:000000000000:failed"
      }
    }
  }
}

resource "aws_lambda_function_event_invoke_config" "alias" {
  function_name          = aws_lambda_function.main.function_name
  qualifier              = aws_lambda_alias.live.name
  maximum_retry_attempts = local.second ? 2 : 1
}

# --- conduct ---

resource "aws_lambda_function_recursion_config" "main" {
  function_name  = aws_lambda_function.main.function_name
  recursive_loop = local.second ? "Terminate" : "Allow"
}

resource "aws_lambda_runtime_management_config" "main" {
  function_name     = aws_lambda_function.plain.function_name
  update_runtime_on = local.second ? "Auto" : "FunctionUpdate"
}

# --- what is read ---

data "aws_lambda_function" "main" {
  function_name = aws_lambda_function.main.function_name
}

data "aws_lambda_alias" "live" {
  function_name = aws_lambda_function.main.function_name
  name          = aws_lambda_alias.live.name
}

data "aws_lambda_layer_version" "main" {
  layer_name = aws_lambda_layer_version.main.layer_name
  version    = aws_lambda_layer_version.main.version
}

data "aws_lambda_functions" "all" {
  depends_on = [aws_lambda_function.main, aws_lambda_function.plain]
}

data "aws_lambda_function_url" "main" {
  function_name = aws_lambda_function_url.main.function_name
}

output "function" {
  value = {
    arn           = aws_lambda_function.main.arn
    version       = aws_lambda_function.main.version
    qualified_arn = aws_lambda_function.main.qualified_arn
    url           = aws_lambda_function_url.main.function_url
    read_version  = data.aws_lambda_function.main.version
    read_alias    = data.aws_lambda_alias.live.function_version
    read_layer    = data.aws_lambda_layer_version.main.arn
    read_url      = data.aws_lambda_function_url.main.function_url
    names         = sort([for name in data.aws_lambda_functions.all.function_names : name if startswith(name, var.name)])
  }
}
