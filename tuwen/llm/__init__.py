"""A large language model as an adviser: it weighs what a vision-language model answered against a description."""
