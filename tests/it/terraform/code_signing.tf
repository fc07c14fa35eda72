# needs: CreateCodeSigningConfig
resource "aws_lambda_code_signing_config" "main" {
  description = "stage ${var.stage}"
  tags        = { stage = var.stage }

  allowed_publishers {
    signing_profile_version_arns = ["arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/stage${var.stage}"]
  }

  policies {
    untrusted_artifact_on_deployment = "Warn"
  }
}

resource "aws_lambda_function" "signed" {
  function_name           = "${var.name}-signed"
  role                    = local.role
  runtime                 = var.runtime
  handler                 = "index.handler"
  filename                = "${var.packages}/code1.zip"
  source_code_hash        = filebase64sha256("${var.packages}/code1.zip")
  code_signing_config_arn = aws_lambda_code_signing_config.main.arn
}
