# Terraform runs the version that it has just published, and again when there is another.
resource "aws_lambda_invocation" "main" {
  function_name = aws_lambda_function.main.function_name
  qualifier     = aws_lambda_function.main.version
  input         = jsonencode({ stage = var.stage })
}

output "invocation" {
  value = jsondecode(aws_lambda_invocation.main.result)
}
