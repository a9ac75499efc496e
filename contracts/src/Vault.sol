// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Ledger} from "./Ledger.sol";

/// @title The vault: the only calls to the token (P1.3)
abstract contract Vault is IMarketBack, Ledger, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @inheritdoc IMarketBack
    address public immutable token;

    /// @dev Where this code lies: a market that runs it is somewhere else.
    address private immutable _CODE;

    constructor(address token_) {
        if (token_ == address(0)) revert ZeroAddress();
        token = token_;
        _CODE = address(this);
    }

    /// @inheritdoc IMarketBack
    function free(address account) external view returns (uint256) {
        return _free[account];
    }

    /// @inheritdoc IMarketBack
    function burned() external view returns (uint256) {
        return _burned;
    }

    /// @inheritdoc IMarketBack
    function deposit(uint256 amount) external {
        _deposit(msg.sender, amount);
    }

    /// @inheritdoc IMarketBack
    function depositFor(address account, uint256 amount) external {
        _deposit(account, amount);
    }

    /// @inheritdoc IMarketBack
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        // Whoever saw the permit in the mempool may have used it: then the allowance is there and the deposit goes on.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(msg.sender, amount);
    }

    /// @inheritdoc IMarketBack
    function withdraw(address to, uint256 amount) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        IERC20(token).safeTransfer(to, amount);
    }

    /// @dev The one function whose effects follow the token's call: it credits what arrived, whatever was promised. Guarded,
    /// since a deposit inside a deposit would be measured twice.
    function _deposit(address account, uint256 amount) private nonReentrant {
        if (address(this) == _CODE) revert NotAMarket();
        if (account == address(0)) revert ZeroAddress();
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received == 0) revert ZeroAmount();
        _credit(account, received);
        emit Deposited(account, msg.sender, received);
    }
}
