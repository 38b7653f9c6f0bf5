# Completion of NAME for PowerShell. To load it: NAME completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName 'NAME' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @()
    foreach ($element in $commandAst.CommandElements) {
        if ($element.Extent.StartOffset -ge $cursorPosition) { break }
        $text = $element.ToString()
        if ($element.Extent.EndOffset -ge $cursorPosition -and $wordToComplete -ne '') { break }
        $words += $text
    }
    $words = @($words | Select-Object -Skip 1) + @($wordToComplete)
    # PowerShell before 7.3 leaves empty words out.
    $words = @($words | ForEach-Object { if ($_ -eq '' -and $PSVersionTable.PSVersion -lt [version]'7.3') { '""' } else { $_ } })
    $directive = 4
    foreach ($line in @(& 'NAME' __complete @words 2>$null)) {
        if ($line -match '^:(\d+)$') { $directive = [int]$Matches[1]; continue }
        $word, $meaning = $line -split "`t", 2
        if (-not $meaning) { $meaning = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $meaning)
    }
    if (($directive -band 4) -eq 0) {
        [System.Management.Automation.CompletionCompleters]::CompleteFilename($wordToComplete)
    }
}
