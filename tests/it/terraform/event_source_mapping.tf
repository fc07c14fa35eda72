# needs: CreateEventSourceMapping
# Switched off: as long as nothing polls, a mapping that is switched on would be planned again and again.
resource "aws_lambda_event_source_mapping" "queue" {
  event_source_arn                   = "arn:aws:sqs:us-east-1:000000000000:${var.name}"
  function_name                      = aws_lambda_function.main.arn
  enabled                            = false
  batch_size                         = local.second ? 20 : 5
  maximum_batching_window_in_seconds = local.second ? 2 : 0
  function_response_types            = ["ReportBatchItemFailures"]
  tags                               = { stage = var.stage }

  filter_criteria {
    filter {
      pattern = jsonencode({ body = { stage = [tostring(var.stage)] } })
    }
  }

  scaling_config {
    maximum_concurrency = local.second ? 20 : 10
  }
}

resource "aws_lambda_event_source_mapping" "stream" {
  event_source_arn                   = "arn:aws:kinesis:us-east-1:000000000000:stream/${var.name}"
  function_name                      = aws_lambda_alias.live.arn
  enabled                            = false
  starting_position                  = "TRIM_HORIZON"
  maximum_retry_attempts             = local.second ? 3 : 2
  maximum_record_age_in_seconds      = 120
  bisect_batch_on_function_error     = local.second
  parallelization_factor             = 2
  maximum_batching_window_in_seconds = 1

  destination_config {
    on_failure {
      destination_arn = "arn:aws:sqs:us-east-1:000000000000:failed"
    }
  }
}
