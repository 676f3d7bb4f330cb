"""The engine for any number of machines: the table in DynamoDB, the blobs in S3, the queue in SQS.

It may import the ports of `storage` and app.errors.
"""
